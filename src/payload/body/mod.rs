//! The body of a request, buffered or streamed within its bounds.

pub(crate) mod bounded;
pub(crate) mod buffered;
pub(crate) mod framing;
pub(crate) mod payload;
#[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
pub(crate) mod replace;
