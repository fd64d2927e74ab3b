use super::canonical::Sink;

/// Receives the parts of a key.
///
/// Two different sequences of parts and counts never give the same input.
pub(crate) trait KeyParts {
    fn part(&mut self, part: &[u8]);

    /// Puts the number of parts that follow.
    fn count(&mut self, count: usize);

    fn parts<'a>(&mut self, parts: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.count(parts.len());
        parts.for_each(|part| self.part(part));
    }

    /// Puts a part that may be missing. A missing part differs from an empty one.
    fn optional(&mut self, part: Option<&[u8]>) {
        self.parts(part.into_iter());
    }
}

/// A hash that reads its input in pieces.
pub(crate) trait Update {
    fn update(&mut self, bytes: &[u8]);
}

/// Hashes the parts of a key. Each part is preceded by its length or count.
///
/// It collects small parts: a call of the hash costs more than copying them.
pub(crate) struct PartHasher<H> {
    hash: H,
    bytes: [u8; ROOM],
    length: usize,
}

/// Room for most requests.
const ROOM: usize = 1_000;

impl<H: Update> PartHasher<H> {
    pub(super) const fn new(hash: H) -> Self {
        Self { hash, bytes: [0; ROOM], length: 0 }
    }

    /// Returns the hash, which has read everything that was put.
    pub(super) fn into_hash(mut self) -> H {
        self.flush();
        self.hash
    }

    fn flush(&mut self) {
        self.hash.update(self.bytes.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    #[cold]
    fn put_after_flush(&mut self, bytes: &[u8]) {
        self.flush();
        match self.bytes.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = bytes.len();
            }
            None => self.hash.update(bytes),
        }
    }
}

impl<H: Update> Sink for PartHasher<H> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.bytes.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.put_after_flush(bytes),
        }
    }
}

impl<H: Update> KeyParts for PartHasher<H> {
    fn part(&mut self, part: &[u8]) {
        self.put_length(part.len());
        self.put(part);
    }

    fn count(&mut self, count: usize) {
        self.put_length(count);
    }
}
