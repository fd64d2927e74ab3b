/// The longest start that is remembered.
const MAX_BYTES: usize = 224;

/// The start that the events of a stream have in common, up to their text.
///
/// The id, the model and the other members before the text are the same in each event of most
/// servers.
#[derive(Clone, Copy)]
pub(super) struct CommonStart<P> {
    bytes: [u8; MAX_BYTES],
    // 0 for none.
    length: u8,
    // The state of the scan after these bytes.
    position: P,
}

impl<P: Copy + Default> CommonStart<P> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; MAX_BYTES], length: 0, position: P::default() }
    }

    /// Returns the rest of a document with this start, and the state of the scan there.
    #[inline]
    pub(super) fn resume<'a>(&self, document: &'a [u8]) -> Option<(&'a [u8], P)> {
        let start = self.bytes.get(..usize::from(self.length)).filter(|start| !start.is_empty())?;
        Some((document.strip_prefix(start)?, self.position))
    }

    /// Remembers the first `length` bytes of a document, which end before a name.
    pub(super) fn remember(&mut self, document: &[u8], length: usize, position: P) {
        let start = document.get(..length).unwrap_or_default();
        // After one of these, the scan of the start depends on nothing that follows.
        if !matches!(start, [.., b'{' | b',']) {
            return;
        }
        if let Some(bytes) = self.bytes.get_mut(..length) {
            bytes.copy_from_slice(start);
            self.length = u8::try_from(length).unwrap_or_default();
            self.position = position;
        }
    }
}
