use std::{error::Error, fmt};

use super::{Malformed, parse::Room};
use crate::{
    memory_limit::{MemoryExhausted, MemoryPermit},
    rejection::{Refusal, Rejection},
};

/// Why a payload has no JSON document.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is streamed: the route takes bodies without looking into them.
    Streamed,
    /// There is no body.
    Empty,
    /// It is not strict JSON.
    Malformed(Malformed),
    /// The [memory limit](super::PayloadLayer::memory_limit) has no room for it.
    Exhausted,
}

impl DocumentError {
    /// The refusal of a layer that must look into the body: `unsupported-media-type` for one that
    /// is streamed, `overloaded` where no memory is left, `malformed-payload` else, with the position.
    #[must_use]
    pub fn rejection(self) -> Rejection {
        let malformed = Rejection::new(Refusal::MalformedPayload);
        match self {
            Self::Streamed => Rejection::new(Refusal::UnsupportedMediaType)
                .with_detail("bodies are not read here, so they cannot be checked"),
            Self::Empty => malformed.with_detail("the body is empty").with_position(0),
            Self::Malformed(Malformed { reason, position }) => {
                malformed.with_detail(reason.as_str()).with_position(position)
            }
            Self::Exhausted => MemoryExhausted.into(),
        }
    }
}

impl From<Malformed> for DocumentError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streamed => f.write_str("the body is streamed"),
            Self::Empty => f.write_str("the body is empty"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Exhausted => f.write_str("no memory is left for the document"),
        }
    }
}

impl Error for DocumentError {}

impl From<MemoryExhausted> for DocumentError {
    fn from(_: MemoryExhausted) -> Self {
        Self::Exhausted
    }
}

/// Without a permit, as much as the bounds allow.
impl Room for Option<MemoryPermit> {
    type Error = DocumentError;

    fn take(&mut self, bytes: usize) -> Result<(), DocumentError> {
        Ok(self.as_mut().map_or(Ok(()), |permit| permit.grow(bytes))?)
    }

    fn give_back(&mut self, bytes: usize) {
        if let Some(permit) = self {
            permit.shrink(bytes);
        }
    }
}
