use std::hash::{BuildHasher, Hasher, RandomState};

use super::{
    arena::Slot,
    pointer::fold,
    text::{characters, contents, count_work},
};

/// Objects with more members than this are indexed.
pub(super) const FEW: u32 = 16;

/// The names of objects with many members, indexed once while the document is read: for the check
/// that no name comes twice, and for all look-ups after it.
///
/// Names are hashed with a key drawn at random, so that no client can prepare names that collide.
#[derive(Clone, Default)]
pub(super) struct Index {
    state: RandomState,
    // In the order of their slots, once the document has been read.
    objects: Vec<Wide>,
    entries: Vec<Entry>,
}

/// An object whose names are indexed.
#[derive(Clone, Copy)]
struct Wide {
    object: u32,
    first: u32,
    count: u32,
}

/// A name. Entries of an object are sorted, so that equal names are neighbors, and so are names that
/// differ in case only.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Entry {
    folded: u32,
    exact: u32,
    slot: u32,
}

impl Index {
    /// How many bytes the index takes for an object of `count` members, at most: its tables double.
    pub(super) const fn weight(count: u32) -> usize {
        2 * (size_of::<Wide>() + size_of::<Entry>() * count as usize)
    }

    /// Indexes the names of an object, and returns where the earliest second name starts.
    ///
    /// `members` begins with the slot of the first name, which is slot `object + 1`.
    pub(super) fn add(
        &mut self,
        text: &str,
        members: &[Slot],
        object: u32,
        count: u32,
    ) -> Option<u32> {
        let first = self.entries.len();
        self.entries.reserve(count as usize);
        self.objects.push(Wide { object, first: first as u32, count });
        let names = Names { slots: members, first: object + 1, at: 0 };
        for (slot, name) in names {
            let (folded, exact) = hashes(&self.state, contents(text, name));
            self.entries.push(Entry { folded, exact, slot });
        }
        let added = self.entries.get_mut(first..).unwrap_or_default();
        added.sort_unstable();
        let name = |entry: &Entry| members.get((entry.slot - object - 1) as usize);
        let equal = |one: &Entry, other: &Entry| match (name(one), name(other)) {
            (Some(one), Some(other)) => is_same(contents(text, one), contents(text, other)),
            _ => false,
        };
        // Names of the same hash are the same, but for accidents.
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

    /// Makes the objects ready for look-ups.
    pub(super) fn finish(&mut self) {
        self.objects.sort_unstable_by_key(|wide| wide.object);
    }

    /// The slots of names in `object` that have the hash of `name`: those that equal it, and
    /// accidents. `None` when the object is not indexed.
    pub(super) fn same(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        let entries = self.of(object)?;
        let (folded, exact) = hashes(&self.state, name);
        let from = entries.partition_point(|entry| entry.hash() < (folded, exact));
        let found = entries.get(from..).unwrap_or_default().iter();
        Some(found.take_while(move |entry| entry.hash() == (folded, exact)).map(|entry| entry.slot))
    }

    /// The slots of names in `object` that have the hash of `name` without its case: those that are
    /// [alike](super::pointer::is_alike), and accidents. `None` when the object is not indexed.
    pub(super) fn alike(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        let entries = self.of(object)?;
        let (folded, _) = hashes(&self.state, name);
        let from = entries.partition_point(|entry| entry.folded < folded);
        let found = entries.get(from..).unwrap_or_default().iter();
        Some(found.take_while(move |entry| entry.folded == folded).map(|entry| entry.slot))
    }

    fn of(&self, object: u32) -> Option<&[Entry]> {
        let at = self.objects.binary_search_by_key(&object, |wide| wide.object).ok()?;
        let Wide { first, count, .. } = *self.objects.get(at)?;
        self.entries.get(first as usize..)?.get(..count as usize)
    }
}

impl Entry {
    const fn hash(&self) -> (u32, u32) {
        (self.folded, self.exact)
    }
}

/// Where the earliest second name of an object with few members starts.
///
/// `members` begins with the slot of the first name, which is slot `object + 1`. Allocates nothing.
pub(super) fn duplicate(text: &str, members: &[Slot], object: u32) -> Option<u32> {
    let names = || Names { slots: members, first: object + 1, at: 0 }.map(|(_, name)| name);
    let mut seen = 0_u64;
    for (index, name) in names().enumerate() {
        if name.is_escaped() {
            return hashed_duplicate(text, names());
        }
        let written = contents(text, name);
        // Two names of different marks differ.
        let mark = 1 << mark(written.as_bytes());
        let again = seen & mark != 0;
        if again && names().take(index).any(|earlier| contents(text, earlier) == written) {
            return Some(name.start);
        }
        seen |= mark;
    }
    None
}

/// The same where names have escapes, each of which is decoded once.
fn hashed_duplicate<'a>(text: &str, names: impl Iterator<Item = &'a Slot> + Clone) -> Option<u32> {
    let state = RandomState::new();
    let mut hashes = [0; FEW as usize];
    for (index, name) in names.clone().enumerate() {
        let written = contents(text, name);
        let hash = exact_hash(&state, written);
        let mut earlier = names.clone().zip(&hashes).take(index);
        let is_again = |(earlier, own): (&Slot, &u32)| {
            *own == hash && is_same(contents(text, earlier), written)
        };
        if earlier.any(is_again) {
            return Some(name.start);
        }
        if let Some(own) = hashes.get_mut(index) {
            *own = hash;
        }
    }
    None
}

/// A number below 64.
fn mark(name: &[u8]) -> u32 {
    let last = name.last().copied().unwrap_or(0);
    let middle = name.get(name.len() / 2).copied().unwrap_or(0);
    let mixed = (name.len() as u32) ^ (u32::from(last) << 1) ^ (u32::from(middle) << 2);
    mixed % 64
}

fn is_same(one: &str, other: &str) -> bool {
    count_work(one.len().min(other.len()));
    one == other || characters(one).eq(characters(other))
}

/// The names of an object's members, with their slots.
#[derive(Clone)]
struct Names<'a> {
    slots: &'a [Slot],
    first: u32,
    at: u32,
}

impl<'a> Iterator for Names<'a> {
    type Item = (u32, &'a Slot);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.slots.get(self.at as usize)?;
        // The value follows its name, and the next name the value's subtree.
        let value = self.slots.get(self.at as usize + 1)?;
        let slot = self.first + self.at;
        self.at = value.next - self.first;
        Some((slot, name))
    }
}

/// The hash of a name without its case, and the one of the name as it is.
fn hashes(state: &impl BuildHasher, written: &str) -> (u32, u32) {
    let (mut folded, mut exact) = (Feed::new(state), Feed::new(state));
    if written.is_ascii() && !written.contains('\\') {
        for byte in written.bytes() {
            exact.put(byte);
            folded.put(byte.to_ascii_lowercase());
        }
    } else {
        let put = |feed: &mut Feed<_>, char: char| {
            char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| feed.put(byte));
        };
        for char in characters(written) {
            put(&mut exact, char);
            fold(char).for_each(|char| put(&mut folded, char));
        }
    }
    count_work(written.len());
    (folded.finish(), exact.finish())
}

const BLOCK: usize = 32;

/// The hash of a name as it is.
fn exact_hash(state: &impl BuildHasher, written: &str) -> u32 {
    let mut exact = Feed::new(state);
    for char in characters(written) {
        char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| exact.put(byte));
    }
    count_work(written.len());
    exact.finish()
}

/// Gives a hasher its bytes in blocks of one size, so that equal bytes have equal hashes.
struct Feed<H> {
    hasher: H,
    block: [u8; BLOCK],
    filled: usize,
}

impl<H: Hasher> Feed<H> {
    fn new(state: &impl BuildHasher<Hasher = H>) -> Self {
        Self { hasher: state.build_hasher(), block: [0; BLOCK], filled: 0 }
    }

    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.block.get_mut(self.filled) {
            *slot = byte;
        }
        self.filled += 1;
        if self.filled == BLOCK {
            self.hasher.write(&self.block);
            self.filled = 0;
        }
    }

    fn finish(mut self) -> u32 {
        self.hasher.write(self.block.get(..self.filled).unwrap_or_default());
        self.hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests;
