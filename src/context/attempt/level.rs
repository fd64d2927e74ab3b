//! The layers that see an attempt, outermost first.

/// The layer that begins an attempt, or joins the one that a layer outside of it has begun.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// `FallbackLayer`.
    #[cfg(feature = "fallback")]
    Fallback,
    /// `UpstreamLayer`.
    #[cfg(feature = "upstream")]
    Upstream,
    /// `HfTokenLayer`.
    #[cfg(feature = "hf")]
    Origin,
    /// The HTTP client, when it sends a request once more. An attempt that was only recorded as
    /// abandoned has this level too.
    Client,
}
