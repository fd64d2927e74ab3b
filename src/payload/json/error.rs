use std::{error::Error, fmt};

use super::fault::{JsonError, JsonFault};
use crate::{
    error_debug::debug_as_message,
    memory_limit::MemoryExhausted,
    payload::error::beyond_bound,
    rejection::{Refusal, Rejection},
};

/// The reason why a payload has no JSON document.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DocumentError {
    /// The payload is streamed, so this route does not read bodies.
    Streamed,
    /// The body is empty.
    Empty,
    /// The body is not strict JSON.
    Malformed(JsonError),
    /// The [memory limit](crate::payload::PayloadLayer::memory_limit) has no room for the document.
    Exhausted,
}

impl DocumentError {
    /// Returns the rejection for a layer that needs the document.
    ///
    /// | error | rejection |
    /// |---|---|
    /// | streamed | `unsupported-media-type` |
    /// | no memory | `overloaded` |
    /// | beyond a bound | `payload-too-large` with the position |
    /// | other | `malformed-payload` with the position |
    #[must_use]
    pub fn rejection(self) -> Rejection {
        match self {
            Self::Streamed => Rejection::new(Refusal::UnsupportedMediaType)
                .with_detail("this route does not read bodies, so it cannot check them"),
            Self::Empty => Rejection::new(Refusal::MalformedPayload)
                .with_detail("the body is empty")
                .with_position(0),
            Self::Malformed(JsonError { fault, position }) if fault.is_bound() => {
                bound_rejection(format_args!("the body has {fault} at byte {position}"), fault)
                    .with_position(position)
            }
            Self::Malformed(malformed) => Rejection::new(Refusal::MalformedPayload)
                .with_detail(format!("the body is not strict JSON: {malformed}"))
                .with_position(malformed.position),
            Self::Exhausted => MemoryExhausted.into(),
        }
    }
}

/// The rejection of a document beyond a bound.
pub(crate) fn bound_rejection(what: fmt::Arguments<'_>, fault: JsonFault) -> Rejection {
    let (refusal, detail) = (Refusal::PayloadTooLarge, what.to_string());
    match fault {
        JsonFault::TooDeep(_) => beyond_bound(refusal, "PayloadLayer::max_depth", detail),
        JsonFault::TooManyValues(_) => beyond_bound(refusal, "PayloadLayer::max_values", detail),
        // The bound is fixed.
        _ => Rejection::new(refusal).with_detail(detail),
    }
}

impl From<JsonError> for DocumentError {
    fn from(malformed: JsonError) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streamed => f.write_str("the body is streamed"),
            Self::Empty => f.write_str("the body is empty"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Exhausted => f.write_str("the memory limit has no room for the document"),
        }
    }
}

debug_as_message!(DocumentError);

impl Error for DocumentError {}

impl From<MemoryExhausted> for DocumentError {
    fn from(_: MemoryExhausted) -> Self {
        Self::Exhausted
    }
}
