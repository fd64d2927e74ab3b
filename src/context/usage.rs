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
}
