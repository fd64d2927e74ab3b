use std::hash::{BuildHasher, Hasher, RandomState};

use super::{
    slot::ValueSlot,
    string::{between_quotes, characters, contents, count_work},
};
use crate::payload::json::case_fold::fold;

/// Objects with more members are indexed.
pub(crate) const MAX_UNINDEXED: u32 = 16;

/// Marks of the names in the outermost open objects, which show that most names differ.
#[derive(Default)]
pub(crate) struct NameMarks {
    // A bit for each name of the object at each depth. Names with different bits differ.
    seen: [u64; Self::DEPTHS],
    // A bit for each depth whose object may have the same name twice.
    alike: u32,
}

impl NameMarks {
    /// Requests of the known APIs are hardly deeper.
    const DEPTHS: usize = 8;

    /// Starts an object or array at `depth`. The outermost one is at depth 1.
    pub(crate) fn enter(&mut self, depth: u32) {
        if let Some(seen) = self.seen.get_mut(depth as usize - 1) {
            *seen = 0;
            self.alike &= !(1 << depth);
        }
    }

    /// Adds a name to the innermost object.
    #[inline]
    pub(crate) fn add(&mut self, depth: u32, written: &[u8], escaped: bool) {
        if let Some(seen) = self.seen.get_mut(depth as usize - 1) {
            let mark = 1 << name_bit(written);
            // A name with an escape may equal one that is written in another way.
            let alike = *seen & mark != 0 || escaped;
            self.alike |= u32::from(alike) << depth;
            *seen |= mark;
        }
    }

    /// Returns whether the names of the innermost object are known to differ.
    pub(crate) const fn differ(&self, depth: u32) -> bool {
        depth as usize <= Self::DEPTHS && self.alike >> depth & 1 == 0
    }
}

/// Returns the start of the earliest duplicate name in an object with few members.
///
/// `members` starts with the slot of the first name, which is slot `object + 1`. Allocates nothing.
pub(crate) fn duplicate(text: &str, members: &[ValueSlot], object: u32) -> Option<u32> {
    let names = || NamesOfObject { slots: members, first: object + 1, at: 0 }.map(|(_, name)| name);
    let mut seen = 0_u64;
    for (index, name) in names().enumerate() {
        if name.is_escaped() {
            return hashed_duplicate(text, names());
        }
        let written = between_quotes(text, name);
        // Names with different bits differ.
        let mark = 1 << name_bit(written);
        let again = seen & mark != 0;
        if again && names().take(index).any(|earlier| between_quotes(text, earlier) == written) {
            return Some(name.start);
        }
        seen |= mark;
    }
    None
}

/// Finds duplicates among names with escapes. Each name is decoded once.
fn hashed_duplicate<'a>(
    text: &str,
    names: impl Iterator<Item = &'a ValueSlot> + Clone,
) -> Option<u32> {
    let state = RandomState::new();
    let mut hashes = [0; MAX_UNINDEXED as usize];
    for (index, name) in names.clone().enumerate() {
        let written = contents(text, name);
        let hash = exact_hash(&state, written);
        let mut earlier = names.clone().zip(&hashes).take(index);
        let is_again = |(earlier, own): (&ValueSlot, &u32)| {
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

/// Returns a number below 64.
fn name_bit(name: &[u8]) -> u32 {
    let last = name.last().copied().unwrap_or(0);
    let middle = name.get(name.len() / 2).copied().unwrap_or(0);
    let mixed = (name.len() as u32) ^ (u32::from(last) << 1) ^ (u32::from(middle) << 2);
    mixed % 64
}

pub(crate) fn is_same(one: &str, other: &str) -> bool {
    count_work(one.len().min(other.len()));
    one == other || characters(one).eq(characters(other))
}

/// The names of an object's members with their slots.
#[derive(Clone)]
pub(crate) struct NamesOfObject<'a> {
    pub(crate) slots: &'a [ValueSlot],
    pub(crate) first: u32,
    pub(crate) at: u32,
}

impl<'a> Iterator for NamesOfObject<'a> {
    type Item = (u32, &'a ValueSlot);

    fn next(&mut self) -> Option<Self::Item> {
        // A value follows its name. The next name follows the value's subtree.
        let [name, value, ..] = self.slots.get(self.at as usize..)? else { return None };
        let slot = self.first + self.at;
        self.at = value.next - self.first;
        Some((slot, name))
    }
}

/// Returns the case-insensitive hash and the exact hash of a name.
pub(crate) fn hashes(state: &impl BuildHasher, written: &str) -> (u32, u32) {
    let (mut folded, mut exact) = (BlockHasher::new(state), BlockHasher::new(state));
    if written.is_ascii() && !written.contains('\\') {
        for byte in written.bytes() {
            exact.put(byte);
            folded.put(byte.to_ascii_lowercase());
        }
    } else {
        let put = |feed: &mut BlockHasher<_>, char: char| {
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

/// Returns the exact hash of a name.
fn exact_hash(state: &impl BuildHasher, written: &str) -> u32 {
    let mut exact = BlockHasher::new(state);
    for char in characters(written) {
        char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| exact.put(byte));
    }
    count_work(written.len());
    exact.finish()
}

/// Feeds a hasher in blocks of equal size, so that equal bytes have equal hashes.
struct BlockHasher<H> {
    hasher: H,
    block: [u8; BLOCK],
    filled: usize,
}

impl<H: Hasher> BlockHasher<H> {
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
