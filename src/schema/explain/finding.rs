//! One place where a document breaks its schema, and the words for it.

use std::borrow::Cow;

use jsonschema::JsonType;

use super::{
    expected::{Expected, Types, json_type},
    text::start_of,
};
use crate::{payload::Document, rejection::Violation};

/// A place, and what is expected there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding<'e> {
    /// Of the value it is about. Grows as the document goes on.
    pub(crate) index: u32,
    /// Where the value is, as the validator says.
    pub(crate) path: &'e str,
    /// Within the path still.
    pub(crate) within: Within,
    pub(crate) keyword: Cow<'e, str>,
    pub(crate) expected: Expected<'e>,
}

/// What a finding is about, below its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Within {
    Nothing,
    /// The member of the object with this index that has the finding's index.
    MemberOf(u32),
    /// The name of that member.
    NameIn(u32),
}

impl<'e> Finding<'e> {
    /// How many tokens the pointer to it has.
    pub(crate) fn depth(&self) -> usize {
        depth(self.path) + usize::from(self.within != Within::Nothing)
    }

    /// The types that would do, when the value is of another.
    pub(crate) fn mistyped(&self, document: &Document) -> Option<Types> {
        match &self.expected {
            Expected::Types(types) => Some(*types),
            Expected::Options(options) => {
                let types = options
                    .iter()
                    .fold(Types::default(), |types, option| types.with(JsonType::from(*option)));
                let own = json_type(document.node(self.index).kind());
                (!types.contains(own)).then_some(types)
            }
            _ => None,
        }
    }

    /// What is answered.
    pub(crate) fn violation(&self, document: &Document) -> Violation {
        let mut pointer = self.path.to_owned();
        let mut detail = self.expected.to_string();
        if let Within::MemberOf(object) | Within::NameIn(object) = self.within {
            let mut members = document.node(object).members();
            let member = members.find(|(_, value)| value.index() == self.index);
            let name = member.map(|(name, _)| name).unwrap_or_default();
            // RFC 6901 section 3. Of a name that is too long, as much as shows that it is.
            pointer.push('/');
            pointer
                .push_str(&start_of(&name, LONGEST_POINTER).replace('~', "~0").replace('/', "~1"));
        }
        if matches!(self.within, Within::NameIn(_)) {
            detail.insert_str(0, "its name ");
        }
        if pointer.len() > LONGEST_POINTER {
            // A pointer to where it is in is true still; one without its end is not.
            let end = pointer.get(..=LONGEST_POINTER).map_or_else(
                || start_of(&pointer, LONGEST_POINTER).rfind('/'),
                |start| start.rfind('/'),
            );
            pointer.truncate(end.unwrap_or_default());
            detail.insert_str(0, "further in, something ");
        }
        Violation::new(pointer, self.keyword.clone().into_owned(), detail)
    }
}

/// How many bytes a pointer has at most.
const LONGEST_POINTER: usize = 256;

/// How many tokens a pointer has.
pub(crate) fn depth(pointer: &str) -> usize {
    pointer.bytes().filter(|byte| *byte == b'/').count()
}
