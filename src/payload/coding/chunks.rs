use bytes::Bytes;

/// Bytes in chunks of one size. They are joined at the end, so a body that exceeds the limit is
/// never copied.
#[derive(Default)]
pub(crate) struct Chunks {
    // All chunks except the last are full.
    chunks: Vec<Vec<u8>>,
    // The filled part of the last chunk.
    filled: usize,
    pub(crate) length: u64,
}

impl Chunks {
    pub(crate) const CHUNK: usize = 16 * 1024;

    /// Returns the free part of the last chunk. It is never empty.
    pub(crate) fn output(&mut self) -> &mut [u8] {
        if self.chunks.is_empty() || self.filled == Self::CHUNK {
            self.chunks.push(vec![0; Self::CHUNK]);
            self.filled = 0;
        }
        let last = self.chunks.last_mut().map(Vec::as_mut_slice).unwrap_or_default();
        last.get_mut(self.filled..).unwrap_or_default()
    }

    /// Marks bytes of the last chunk as filled.
    pub(crate) const fn grow(&mut self, written: usize) {
        self.filled += written;
        self.length += written as u64;
    }

    pub(crate) const fn weight(&self) -> usize {
        self.chunks.len() * Self::CHUNK + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    pub(crate) fn into_bytes(mut self) -> Bytes {
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(self.filled);
        }
        let mut whole = Vec::with_capacity(self.chunks.iter().map(Vec::len).sum());
        for chunk in self.chunks {
            whole.extend_from_slice(&chunk);
        }
        whole.into()
    }
}
