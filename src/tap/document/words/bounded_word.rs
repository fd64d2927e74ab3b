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

    /// Returns the bytes of a whole word as a `BoundedWord` returns them.
    pub(crate) fn bounded(word: &[u8]) -> &[u8] {
        if word.len() <= Self::MAX { word } else { &[] }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Writes the word into `buffer` in lowercase with underscores for dashes.
    pub(super) fn folded<'a>(&self, buffer: &'a mut [u8; Self::MAX]) -> &'a [u8] {
        let word = self.as_bytes();
        for (folded, byte) in buffer.iter_mut().zip(word) {
            *folded = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
        }
        buffer.get(..word.len()).unwrap_or_default()
    }
}
