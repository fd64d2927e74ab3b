use std::hash::RandomState;

use super::{
    names::{NamesOfObject, hashes, is_same},
    slot::ValueSlot,
    string::contents,
};

/// The names of objects with many members. They are indexed once during parsing to find duplicates
/// and to speed up lookups.
///
/// Names are hashed with a random key, so a client cannot prepare collisions.
#[derive(Clone, Default)]
pub(crate) struct NameIndex {
    state: RandomState,
    // Sorted by slot after the document was parsed.
    objects: Vec<IndexedObject>,
    entries: Vec<NameEntry>,
}

/// An object with indexed names.
#[derive(Clone, Copy)]
struct IndexedObject {
    object: u32,
    first: u32,
    count: u32,
}

/// A name. The entries of an object are sorted, so equal names are adjacent and so are names that
/// differ only in case.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct NameEntry {
    folded: u32,
    exact: u32,
    slot: u32,
}

impl NameIndex {
    /// Returns the maximum size in bytes of the index for an object of `count` members. Its vectors
    /// double as they grow.
    pub(crate) const fn weight(count: u32) -> usize {
        2 * (size_of::<IndexedObject>() + size_of::<NameEntry>() * count as usize)
    }

    /// Indexes the names of an object. Returns the start of the earliest duplicate name.
    ///
    /// `members` starts with the slot of the first name, which is slot `object + 1`.
    pub(crate) fn add(
        &mut self,
        text: &str,
        members: &[ValueSlot],
        object: u32,
        count: u32,
    ) -> Option<u32> {
        let first = self.entries.len();
        self.entries.reserve(count as usize);
        self.objects.push(IndexedObject { object, first: first as u32, count });
        let names = NamesOfObject { slots: members, first: object + 1, at: 0 };
        for (slot, name) in names {
            let (folded, exact) = hashes(&self.state, contents(text, name));
            self.entries.push(NameEntry { folded, exact, slot });
        }
        let added = self.entries.get_mut(first..).unwrap_or_default();
        added.sort_unstable();
        let name = |entry: &NameEntry| members.get((entry.slot - object - 1) as usize);
        let equal = |one: &NameEntry, other: &NameEntry| match (name(one), name(other)) {
            (Some(one), Some(other)) => is_same(contents(text, one), contents(text, other)),
            _ => false,
        };
        // Names with equal hashes are almost always equal.
        let of_one_hash = added.chunk_by(|one, other| one.hash() == other.hash());
        let second = of_one_hash.filter_map(|alike| {
            let mut later = alike.iter().enumerate().skip(1);
            later.find_map(|(index, entry)| {
                let mut earlier = alike.iter().take(index);
                earlier.any(|other| equal(other, entry)).then_some(entry)
            })
        });
        second.filter_map(name).map(|name| name.start).min()
    }

    /// Prepares lookups.
    pub(crate) fn finish(&mut self) {
        self.objects.sort_unstable_by_key(|wide| wide.object);
    }

    /// Returns the slots of names in `object` with the hash of `name`. A collision can add other
    /// names. Returns `None` if the object is not indexed.
    pub(crate) fn same(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        let entries = self.of(object)?;
        let (folded, exact) = hashes(&self.state, name);
        let from = entries.partition_point(|entry| entry.hash() < (folded, exact));
        let found = entries.get(from..).unwrap_or_default().iter();
        Some(found.take_while(move |entry| entry.hash() == (folded, exact)).map(|entry| entry.slot))
    }

    /// Returns the slots of names in `object` with the case-insensitive hash of `name`. These names
    /// are usually [alike](crate::payload::json::case_fold::is_alike). A collision can add other
    /// names. Returns `None` if the object is not indexed.
    pub(crate) fn alike(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        let entries = self.of(object)?;
        let (folded, _) = hashes(&self.state, name);
        let from = entries.partition_point(|entry| entry.folded < folded);
        let found = entries.get(from..).unwrap_or_default().iter();
        Some(found.take_while(move |entry| entry.folded == folded).map(|entry| entry.slot))
    }

    fn of(&self, object: u32) -> Option<&[NameEntry]> {
        let at = self.objects.binary_search_by_key(&object, |wide| wide.object).ok()?;
        let IndexedObject { first, count, .. } = *self.objects.get(at)?;
        self.entries.get(first as usize..)?.get(..count as usize)
    }
}

impl NameEntry {
    const fn hash(&self) -> (u32, u32) {
        (self.folded, self.exact)
    }
}

#[cfg(test)]
mod tests;
