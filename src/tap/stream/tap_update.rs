use crate::{context::StreamEnd, tap::document::PartialUsage};

/// The results after a chunk or after the end of a body.
pub(crate) struct TapUpdate {
    /// The usage, if it may have changed.
    pub(crate) usage: Option<PartialUsage>,
    /// The end of the stream, if it was reached.
    pub(crate) end: Option<StreamEnd>,
    /// Estimated tokens of the text that has passed.
    pub(crate) tokens: u64,
    /// The least number of tokens of that text.
    pub(crate) least_tokens: u64,
}
