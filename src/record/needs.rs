/// The parts of a request that a sink records beside the others.
///
/// They are not free: a layer takes only those that one of its sinks needs. By default a sink needs the user
/// agent and no bodies, which are prompts and completions. The layer keeps the most bytes that any sink needs,
/// for each request in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Needs {
    /// Whether to copy the header `user-agent`.
    pub user_agent: bool,
    /// How many bytes of the request body to keep.
    pub prompt_bytes: usize,
    /// How many bytes of the response body to keep.
    pub completion_bytes: usize,
    /// Whether to hash the request body with SHA-256.
    pub prompt_digest: bool,
    /// Whether to hash the response body with SHA-256.
    pub completion_digest: bool,
    /// Whether to keep the first and the last 2 KiB of the response body, for the id and the model of the
    /// response and the reasons of its end.
    pub response_facts: bool,
    /// Whether to read the clock for each chunk of the response, for the times between chunks.
    pub chunk_times: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { user_agent: true, ..Self::NONE }
    }
}

impl Needs {
    pub(crate) const NONE: Self = Self {
        user_agent: false,
        prompt_bytes: 0,
        completion_bytes: 0,
        prompt_digest: false,
        completion_digest: false,
        response_facts: false,
        chunk_times: false,
    };

    /// Returns what serves both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            user_agent: self.user_agent || other.user_agent,
            prompt_bytes: self.prompt_bytes.max(other.prompt_bytes),
            completion_bytes: self.completion_bytes.max(other.completion_bytes),
            prompt_digest: self.prompt_digest || other.prompt_digest,
            completion_digest: self.completion_digest || other.completion_digest,
            response_facts: self.response_facts || other.response_facts,
            chunk_times: self.chunk_times || other.chunk_times,
        }
    }
}
