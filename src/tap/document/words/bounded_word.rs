/// A member name or a short value, stored up to the length of the longest known word.
///
/// A longer word equals no known word, so it reads as empty bytes.
#[derive(Clone, Copy)]
pub(crate) struct BoundedWord {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl BoundedWord {
    pub(super) const MAX: usize = 32;
    const TOO_LONG: u8 = u8::MAX;

    pub(crate) const EMPTY: Self = Self { bytes: [0; Self::MAX], len: 0 };

    /// Returns an empty word. It ignores all that is pushed unless it is `wanted`.
    pub(crate) const fn empty_if(wanted: bool) -> Self {
        Self { bytes: [0; Self::MAX], len: if wanted { 0 } else { Self::TOO_LONG } }
    }

    pub(crate) fn push(&mut self, more: &[u8]) {
        let end = usize::from(self.len).saturating_add(more.len());
        match self.bytes.get_mut(usize::from(self.len)..end) {
            Some(room) => {
                room.copy_from_slice(more);
                self.len = u8::try_from(end).unwrap_or(Self::TOO_LONG);
            }
            None => self.len = Self::TOO_LONG,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn as_word(&self) -> Word<'_> {
        Word(self.bytes.get(..usize::from(self.len)).unwrap_or(&TOO_LONG))
    }
}

/// A name or a value that was read at once. It reads as a [`BoundedWord`] does.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a>(&'a [u8]);

const TOO_LONG: [u8; BoundedWord::MAX + 1] = [0; BoundedWord::MAX + 1];

impl<'a> Word<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        if self.0.len() <= BoundedWord::MAX { self.0 } else { &[] }
    }

    /// Writes the word into `buffer` in lowercase with underscores for dashes.
    pub(super) fn folded(self, buffer: &mut [u8; BoundedWord::MAX]) -> &[u8] {
        let word = self.as_bytes();
        for (folded, byte) in buffer.iter_mut().zip(word) {
            *folded = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
        }
        buffer.get(..word.len()).unwrap_or_default()
    }
}
