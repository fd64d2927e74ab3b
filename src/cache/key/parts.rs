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
