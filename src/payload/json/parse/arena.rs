use std::fmt;

use bytestring::ByteString;

use super::{
    name_index::NameIndex,
    slot::{Slot, Tag},
};

/// A document as it was read: its text, and where in it each value stands.
#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) text: ByteString,
    pub(crate) slots: Vec<Slot>,
    pub(crate) depth: u32,
    // Boxed, because hardly any document has a wide object.
    pub(crate) index: Option<Box<NameIndex>>,
}

impl Arena {
    pub(crate) fn slot(&self, index: u32) -> &Slot {
        // No node is made for a slot that is not there.
        const NULL: &Slot = &Slot::leaf((0, 0), 0, Tag::NULL);
        self.slots.get(index as usize).unwrap_or(NULL)
    }

    /// As [`NameIndex::same`].
    pub(crate) fn same(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.same(object, name)
    }

    /// As [`NameIndex::alike`].
    pub(crate) fn alike(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.alike(object, name)
    }
}

impl fmt::Debug for Arena {
    // Without the text, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("bytes", &self.text.len())
            .field("nodes", &self.slots.len())
            .field("depth", &self.depth)
            .finish()
    }
}
