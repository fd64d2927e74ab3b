//! One position where a document violates its schema.

use std::borrow::Cow;

use jsonschema::JsonType;

use super::{
    expected::{Expected, Types, json_type},
    text::start_of,
};
use crate::{payload::Document, rejection::Violation};

/// A position and the expected value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding<'e> {
    /// The index of the value. It increases with the position in the document.
    pub(crate) index: u32,
    /// The validator's pointer to the value.
    pub(crate) path: &'e str,
    /// The position below the path.
    pub(crate) within: Within,
    pub(crate) keyword: Cow<'e, str>,
    pub(crate) expected: Expected<'e>,
}

/// The position of a finding below its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Within {
    Nothing,
    /// The member of the object with this index.
    MemberOf(u32),
    /// The name of that member.
    NameIn(u32),
}

impl<'e> Finding<'e> {
    /// Returns the number of steps in the pointer.
    pub(crate) fn depth(&self) -> usize {
        depth(self.path) + usize::from(self.within != Within::Nothing)
    }

    /// Returns the expected types if the value has another type.
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

    /// Converts the finding to a violation.
    pub(crate) fn violation(&self, document: &Document) -> Violation {
        let mut pointer = self.path.to_owned();
        let mut detail = self.expected.to_string();
        if let Within::MemberOf(object) | Within::NameIn(object) = self.within {
            let mut members = document.node(object).members();
            let member = members.find(|(_, value)| value.index() == self.index);
            let name = member.map(|(name, _)| name).unwrap_or_default();
            // Escaped by RFC 6901 section 3. A long name is shortened.
            pointer.push('/');
            pointer
                .push_str(&start_of(&name, LONGEST_POINTER).replace('~', "~0").replace('/', "~1"));
        }
        if matches!(self.within, Within::NameIn(_)) {
            detail.insert_str(0, "its name ");
        }
        if pointer.len() > LONGEST_POINTER {
            // A shorter pointer to a parent is still true. A pointer cut inside a token is not.
            let end = pointer.get(..=LONGEST_POINTER).map_or_else(
                || start_of(&pointer, LONGEST_POINTER).rfind('/'),
                |start| start.rfind('/'),
            );
            pointer.truncate(end.unwrap_or_default());
            detail.insert_str(0, "a nested value ");
        }
        Violation::new(pointer, self.keyword.clone().into_owned(), detail)
    }
}

/// The maximum length of a pointer in bytes.
const LONGEST_POINTER: usize = 256;

/// Returns the number of steps in a pointer.
pub(crate) fn depth(pointer: &str) -> usize {
    pointer.bytes().filter(|byte| *byte == b'/').count()
}
