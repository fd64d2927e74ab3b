use super::{
    error::{EditError, EditFault},
    operation::{Change, EditOperation},
    pointer::{NameMatch, Pointer, PointerToken, name_bits},
};
use crate::payload::json::{
    document::Document,
    kind::Kind,
    node::Node,
    parse::{
        names::MAX_UNINDEXED,
        slot::ValueSlot,
        string::{contents, unescape},
    },
};

/// The target of a pointer.
#[derive(Clone, Copy)]
pub(crate) enum PointerTarget {
    Value {
        container: u32,
        at: u32,
    },
    /// An object without the member of this step.
    Object {
        at: u32,
        token: usize,
    },
    /// A `null` in place of the object for this step.
    Null {
        at: u32,
        token: usize,
    },
    /// An array without the element of this step.
    Array {
        token: usize,
    },
}

/// Follows pointers through a document with pending edits.
pub(crate) struct PointerLookup<'e, 'a> {
    pub(crate) document: &'e Document,
    pub(crate) operations: &'e [EditOperation<'a>],
    pub(crate) name_bits: Option<u64>,
}

impl PointerLookup<'_, '_> {
    /// Follows a pointer from the value in a slot. Returns `None` if a pending edit must be applied
    /// first.
    pub(crate) fn walk(
        &self,
        from: u32,
        pointer: &Pointer,
    ) -> Result<Option<PointerTarget>, EditError> {
        let (mut container, mut at) = (from, from);
        for (index, token) in pointer.tokens().iter().enumerate() {
            let fault = |fault, tokens| Err(EditError::new(fault, pointer, tokens));
            if self.is_taken(at) {
                return Ok(None);
            }
            let next = match self.document.slot(at).kind() {
                Kind::Object => match self.member(at, token) {
                    MemberLookup::Here(value) => value,
                    MemberLookup::Missing => {
                        return Ok(Some(PointerTarget::Object { at, token: index }));
                    }
                    MemberLookup::Changed => return Ok(None),
                    MemberLookup::Twin => return fault(EditFault::AmbiguousName, index + 1),
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
                        None => return Ok(Some(PointerTarget::Array { token: index })),
                    }
                }
                Kind::Null if index > 0 => {
                    return Ok(Some(PointerTarget::Null { at, token: index }));
                }
                _ => return fault(EditFault::NotAnObject, index),
            };
            (container, at) = (at, next);
        }
        Ok((!self.is_taken(at)).then_some(PointerTarget::Value { container, at }))
    }

    fn member(&self, object: u32, token: &PointerToken) -> MemberLookup {
        let new = self.operations.iter().filter_map(|op| op.new_member(object));
        if new.filter(|new| token.compare(&new.name) != NameMatch::Different).count() > 0 {
            return MemberLookup::Changed;
        }
        if object == 0 && self.name_bits.is_some_and(|name_bits| !token.may_match_any(name_bits)) {
            return MemberLookup::Missing;
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

    fn member_among(&self, names: impl Iterator<Item = u32>, token: &PointerToken) -> MemberLookup {
        let mut found = MemberLookup::Missing;
        for name in names {
            let value = name + 1;
            match self.compare(name, token) {
                NameMatch::Different => {}
                NameMatch::Same => found = MemberLookup::Here(value),
                NameMatch::OtherCase if self.is_taken(value) => return MemberLookup::Changed,
                NameMatch::OtherCase => return MemberLookup::Twin,
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

    /// Whether a pending edit has replaced or removed the value.
    pub(crate) fn is_taken(&self, at: u32) -> bool {
        let taken =
            |op: &EditOperation<'_>| matches!(op.change, Change::Replace(_) | Change::Remove(_));
        self.operations.iter().any(|op| op.at == at && taken(op))
    }

    /// Compares the name in a slot with a step of a pointer.
    fn compare(&self, name: u32, token: &PointerToken) -> NameMatch {
        let slot = self.document.slot(name);
        let written = contents(&self.document.arena.text, slot);
        if slot.is_escaped() { token.compare(&unescape(written)) } else { token.compare(written) }
    }
}

/// The result of looking up a name in an object.
enum MemberLookup {
    /// The slot of the value.
    Here(u32),
    Missing,
    /// A pending edit has added or removed the name.
    Changed,
    /// Another name differs only in case.
    Twin,
}

/// Returns the [`name_bits`] of all names in the root object. Returns all bits if the names are
/// indexed.
pub(crate) fn name_bits_of(document: &Document) -> u64 {
    let root = document.root();
    if root.len() > MAX_UNINDEXED as usize {
        return u64::MAX;
    }
    let names = root.names_and_values().step_by(2).map(Node::slot);
    let name_bits = |name: &ValueSlot| {
        if name.is_escaped() { u64::MAX } else { name_bits(contents(&document.arena.text, name)) }
    };
    names.fold(0, |all, name| all | name_bits(name))
}
