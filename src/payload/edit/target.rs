use super::{
    error::{EditError, EditFault},
    operation::{Change, Operation},
    pointer::{Likeness, Pointer, Token, marks},
};
use crate::payload::json::{
    document::Document,
    kind::Kind,
    node::Node,
    parse::{
        names::FEW,
        slot::Slot,
        string::{contents, unescape},
    },
};

/// Where a pointer leads.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Value {
        container: u32,
        at: u32,
    },
    /// An object that lacks the member of this token.
    Object {
        at: u32,
        token: usize,
    },
    /// A `null` in place of the object that this token asks for.
    Null {
        at: u32,
        token: usize,
    },
    /// An array that lacks the element of this token.
    Array {
        token: usize,
    },
}

/// Follows pointers through a document that has pending edits.
pub(crate) struct Lookup<'e, 'a> {
    pub(crate) document: &'e Document,
    pub(crate) operations: &'e [Operation<'a>],
    pub(crate) marks: Option<u64>,
}

impl Lookup<'_, '_> {
    /// Follows a pointer from the value in a slot; `None` when an earlier edit stands in the way.
    pub(crate) fn walk(&self, from: u32, pointer: &Pointer) -> Result<Option<Target>, EditError> {
        let (mut container, mut at) = (from, from);
        for (index, token) in pointer.tokens().iter().enumerate() {
            let fault = |fault, tokens| Err(EditError::new(fault, pointer, tokens));
            if self.is_taken(at) {
                return Ok(None);
            }
            let next = match self.document.slot(at).kind() {
                Kind::Object => match self.member(at, token) {
                    Found::Here(value) => value,
                    Found::Missing => return Ok(Some(Target::Object { at, token: index })),
                    Found::Changed => return Ok(None),
                    Found::Twin => return fault(EditFault::Twin, index + 1),
                },
                Kind::Array => {
                    let Some(nth) = token.index() else {
                        return fault(EditFault::NotAnObject, index);
                    };
                    if self.operations.iter().any(|op| op.shifts(at)) {
                        return Ok(None);
                    }
                    match self.element(at, nth) {
                        Some(value) => value,
                        None => return Ok(Some(Target::Array { token: index })),
                    }
                }
                Kind::Null if index > 0 => return Ok(Some(Target::Null { at, token: index })),
                _ => return fault(EditFault::NotAnObject, index),
            };
            (container, at) = (at, next);
        }
        Ok((!self.is_taken(at)).then_some(Target::Value { container, at }))
    }

    fn member(&self, object: u32, token: &Token) -> Found {
        let new = self.operations.iter().filter_map(|op| op.new_member(object));
        if new.filter(|new| token.compare(&new.name) != Likeness::Different).count() > 0 {
            return Found::Changed;
        }
        if object == 0 && self.marks.is_some_and(|marks| !token.may_be_among(marks)) {
            return Found::Missing;
        }
        let mut name = object + 1;
        let all = (0..self.document.slot(object).len()).map(|_| {
            let this = name;
            name = self.document.slot(this + 1).next;
            this
        });
        match self.document.arena.alike(object, &token.name) {
            Some(names) => self.member_among(names, token),
            None => self.member_among(all, token),
        }
    }

    fn member_among(&self, names: impl Iterator<Item = u32>, token: &Token) -> Found {
        let mut found = Found::Missing;
        for name in names {
            let value = name + 1;
            match self.compare(name, token) {
                Likeness::Different => {}
                Likeness::Same => found = Found::Here(value),
                Likeness::OtherCase if self.is_taken(value) => return Found::Changed,
                Likeness::OtherCase => return Found::Twin,
            }
        }
        found
    }

    fn element(&self, array: u32, nth: usize) -> Option<u32> {
        if nth >= self.document.slot(array).len() as usize {
            return None;
        }
        Some((0..nth).fold(array + 1, |at, _| self.document.slot(at).next))
    }

    /// Whether an earlier edit has replaced or removed the value itself.
    pub(crate) fn is_taken(&self, at: u32) -> bool {
        let taken =
            |op: &Operation<'_>| matches!(op.change, Change::Replace(_) | Change::Remove(_));
        self.operations.iter().any(|op| op.at == at && taken(op))
    }

    /// How the name of a member, which stands in this slot, compares with a token.
    fn compare(&self, name: u32, token: &Token) -> Likeness {
        let slot = self.document.slot(name);
        let written = contents(&self.document.arena.text, slot);
        if slot.is_escaped() { token.compare(&unescape(written)) } else { token.compare(written) }
    }
}

/// What an object holds of a name.
enum Found {
    /// The slot of its value.
    Here(u32),
    Missing,
    /// What an earlier edit made or took.
    Changed,
    /// A name that differs in case only.
    Twin,
}

/// The [`marks`] of all names in the outermost object; all of them where its names are indexed.
pub(crate) fn marks_of(document: &Document) -> u64 {
    let root = document.root();
    if root.len() > FEW as usize {
        return u64::MAX;
    }
    let names = root.names_and_values().step_by(2).map(Node::slot);
    let marks = |name: &Slot| {
        if name.is_escaped() { u64::MAX } else { marks(contents(&document.arena.text, name)) }
    };
    names.fold(0, |all, name| all | marks(name))
}
