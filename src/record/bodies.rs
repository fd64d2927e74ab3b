/// The parts of bodies that a sink records. None by default.
///
/// A layer keeps the most that any of its sinks wants, for each request in flight.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Bodies {
    /// The first bytes of the request body.
    pub prompt_bytes: usize,
    /// The first bytes of the response body.
    pub completion_bytes: usize,
    /// Whether to hash the request body with SHA-256.
    pub prompt_digest: bool,
    /// Whether to hash the response body with SHA-256.
    pub completion_digest: bool,
}

impl Bodies {
    /// Returns what serves both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            prompt_bytes: self.prompt_bytes.max(other.prompt_bytes),
            completion_bytes: self.completion_bytes.max(other.completion_bytes),
            prompt_digest: self.prompt_digest || other.prompt_digest,
            completion_digest: self.completion_digest || other.completion_digest,
        }
    }
}
