use std::hash::{BuildHasher, RandomState};

use super::{
    arena::Slot,
    text::{contents, unescape},
};

/// More members than this are compared by hash.
const FEW: u32 = 16;

/// Where the earliest second name of an object stands.
///
/// `slots` starts with the object's first name, which is slot `first` of the arena; `count` is the
/// number of members. Few names are compared in place, without allocation; many are sorted by a
/// hash that is keyed at random, so that nobody can prepare a body that takes quadratic time.
pub(super) fn duplicate(text: &str, slots: &[Slot], first: u32, count: u32) -> Option<u32> {
    let names = || Names { slots, first, at: 0 };
    if count > FEW || names().any(|name| name.is_escaped()) {
        return among_many(text, names(), count, &RandomState::new());
    }
    let mut seen = 0_u64;
    for (index, name) in names().enumerate() {
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

/// A number below 64.
fn mark(name: &[u8]) -> u32 {
    let last = name.last().copied().unwrap_or(0);
    let middle = name.get(name.len() / 2).copied().unwrap_or(0);
    let mixed = (name.len() as u32) ^ (u32::from(last) << 1) ^ (u32::from(middle) << 2);
    mixed % 64
}

fn among_many<'a>(
    text: &str,
    names: impl Iterator<Item = &'a Slot>,
    count: u32,
    state: &impl BuildHasher,
) -> Option<u32> {
    let name = |slot: &Slot| unescape(contents(text, slot));
    let mut hashed = Vec::with_capacity(count as usize);
    hashed.extend(names.map(|slot| (state.hash_one(name(slot)), slot.start, slot)));
    hashed.sort_unstable_by_key(|(hash, start, _)| (*hash, *start));
    // Names of the same hash are the same, but for accidents.
    let again = hashed.chunk_by(|one, other| one.0 == other.0).filter_map(|same| {
        let mut later = same.iter().enumerate().skip(1);
        later.find_map(|(index, (_, start, slot))| {
            let mut earlier = same.iter().take(index);
            earlier.any(|(_, _, other)| name(other) == name(slot)).then_some(*start)
        })
    });
    again.min()
}

/// The names of an object's members.
struct Names<'a> {
    slots: &'a [Slot],
    first: u32,
    at: u32,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a Slot;

    fn next(&mut self) -> Option<&'a Slot> {
        let name = self.slots.get(self.at as usize)?;
        // The value follows its name, and the next name the value's subtree.
        let value = self.slots.get(self.at as usize + 1)?;
        self.at = value.next - self.first;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use super::*;
    use crate::payload::arena::Tag;

    /// Every name meets every other.
    #[derive(Default)]
    struct Same;

    impl Hasher for Same {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, _bytes: &[u8]) {}
    }

    #[test]
    fn names_of_the_same_hash_are_compared() {
        let position = |text: &str| {
            let name = |at: usize| Slot::leaf((at, at + 3), 0, Tag::STRING);
            let names: Vec<Slot> = (0..text.len()).step_by(3).map(name).collect();
            among_many(text, names.iter(), 0, &BuildHasherDefault::<Same>::default())
        };
        assert_eq!(position(r#""a""b""c""d""#), None);
        assert_eq!(position(r#""a""b""c""b""a""#), Some(9));
    }
}
