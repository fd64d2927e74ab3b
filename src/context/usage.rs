/// Token counts that the upstream reported.
///
/// A count that it did not report is `None`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the response.
    pub completion_tokens: Option<u64>,
    /// Tokens of both together.
    pub total_tokens: Option<u64>,
    /// Tokens of the prompt that the upstream read from its own cache. They are part of
    /// [`prompt_tokens`](Self::prompt_tokens).
    pub cached_tokens: Option<u64>,
    /// Tokens of the prompt that the upstream wrote into its own cache. They are part of
    /// [`prompt_tokens`](Self::prompt_tokens).
    pub cache_write_tokens: Option<u64>,
    /// Tokens of the response that are reasoning and not shown. They are part of
    /// [`completion_tokens`](Self::completion_tokens).
    pub reasoning_tokens: Option<u64>,
}
