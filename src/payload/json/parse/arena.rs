use std::fmt;

use bytestring::ByteString;

use super::{
    name_index::NameIndex,
    slot::{SlotTag, ValueSlot},
};

/// A parsed document: its text and the positions of its values.
#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) text: ByteString,
    pub(crate) slots: Vec<ValueSlot>,
    pub(crate) depth: u32,
    // Boxed because few documents have an object with many members.
    pub(crate) index: Option<Box<NameIndex>>,
}

impl Arena {
    pub(crate) fn slot(&self, index: u32) -> &ValueSlot {
        // A default for an index without a slot. Nodes always have one.
        const NULL: &ValueSlot = &ValueSlot::leaf((0, 0), 0, SlotTag::NULL);
        self.slots.get(index as usize).unwrap_or(NULL)
    }

    /// See [`NameIndex::same`].
    pub(crate) fn same(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.same(object, name)
    }

    /// See [`NameIndex::alike`].
    pub(crate) fn alike(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.alike(object, name)
    }
}

impl fmt::Debug for Arena {
    // Omits the text, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("bytes", &self.text.len())
            .field("nodes", &self.slots.len())
            .field("depth", &self.depth)
            .finish()
    }
}
