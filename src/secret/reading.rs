use std::ops::Range;

use super::{
    escapes::{first_character, is_base64},
    trie::{Start, Trie},
};

/// One way to read a text: as it is, or with one kind of escape decoded.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    escape: Option<u8>,
    // The starts of an escape that is not complete, in front of `position`.
    pending: Pending,
    live: Vec<Live>,
    /// The character before the next one, if it is one of base64.
    before: Option<u64>,
    /// Whether the next character belongs to a secret if it is one of base64.
    masks_next: bool,
}

/// A spelling that has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Live {
    read: Start,
    position: u64,
    /// The position with the character before it, which may hold a part of the secret.
    with_edge: u64,
}

/// The longest escape is `\u0041`.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    bytes: [u8; 6],
    length: usize,
    position: u64,
}

impl Reading {
    pub(super) const fn plain() -> Self {
        let pending = Pending { bytes: [0; 6], length: 0, position: 0 };
        Self { escape: None, pending, live: Vec::new(), before: None, masks_next: false }
    }

    /// Returns the same state for a text whose escapes are decoded from here on.
    pub(super) fn unescaping(&self, escape: u8) -> Self {
        Self { escape: Some(escape), ..self.clone() }
    }

    /// Returns whether nothing has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty() && !self.masks_next && self.pending.length == 0
    }

    /// Returns whether two readings will find the same until the next escape.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        self.is_idle() && other.is_idle() && self.before == other.before
    }

    /// Passes over bytes that begin nothing. The last one ends at `position`.
    pub(super) fn skip(&mut self, position: u64, last: u8) {
        self.before = is_base64(last).then(|| position - 1);
    }

    /// Returns the position of the first byte that may belong to a secret.
    pub(super) fn keep_from(&self, trie: &Trie) -> Option<u64> {
        let before = self.before.filter(|_| trie.has_shared_edges());
        let pending = (self.pending.length > 0).then_some(self.pending.position);
        let live = self
            .live
            .iter()
            .map(|live| if trie.edges_below(live.read) { live.with_edge } else { live.position });
        live.chain(before).chain(pending).min()
    }

    /// Reads the next byte of the text and adds the ranges of secrets that end with it.
    pub(super) fn byte(
        &mut self,
        trie: &Trie,
        byte: u8,
        position: u64,
        found: &mut Vec<Range<u64>>,
    ) {
        let Some(escape) = self.escape else {
            return self.character(trie, byte, position..position + 1, found);
        };
        if self.pending.length == 0 {
            self.pending.position = position;
        }
        if let Some(free) = self.pending.bytes.get_mut(self.pending.length) {
            *free = byte;
            self.pending.length += 1;
        }
        self.decode(trie, escape, false, found);
    }

    /// Reads an escape that the text ends in.
    pub(super) fn finish(&mut self, trie: &Trie, found: &mut Vec<Range<u64>>) {
        if let Some(escape) = self.escape {
            self.decode(trie, escape, true, found);
        }
    }

    fn decode(&mut self, trie: &Trie, escape: u8, is_end: bool, found: &mut Vec<Range<u64>>) {
        while let Some((byte, length)) = first_character(self.pending.text(), escape, is_end) {
            let start = self.pending.position;
            self.pending.advance(length);
            self.character(trie, byte, start..self.pending.position, found);
        }
    }

    fn character(&mut self, trie: &Trie, byte: u8, place: Range<u64>, found: &mut Vec<Range<u64>>) {
        let is_base64 = is_base64(byte);
        if std::mem::take(&mut self.masks_next) && is_base64 {
            found.push(place.clone());
        }
        if trie.begins(byte) {
            let with_edge = self.before.unwrap_or(place.start);
            self.live.push(Live { read: Trie::ROOT, position: place.start, with_edge });
        }
        let mut masks_next = false;
        self.live.retain_mut(|live| {
            let Some(read) = trie.next(live.read, byte) else { return false };
            live.read = read;
            if let Some(shares_edges) = trie.end(read) {
                let start = if shares_edges { live.with_edge } else { live.position };
                found.push(start..place.end);
                masks_next |= shares_edges;
            }
            true
        });
        self.masks_next = masks_next;
        self.before = is_base64.then_some(place.start);
    }
}

impl Pending {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn advance(&mut self, length: usize) {
        self.bytes.rotate_left(length.min(6));
        self.length -= length.min(self.length);
        self.position += length as u64;
    }
}
