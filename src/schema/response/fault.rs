use std::fmt;

use crate::{
    memory_limit::MemoryExhausted,
    payload::JsonError,
    rejection::{Refusal, Rejection, Violation},
};

/// The reason why a response is invalid or cannot be checked.
pub(crate) enum ResponseFault {
    Coded,
    TooLong,
    /// The memory limit has no room for it.
    Exhausted,
    Malformed(JsonError),
    Broken(Vec<Violation>),
}

impl ResponseFault {
    pub(crate) fn rejection(&self) -> Rejection {
        let rejection = Rejection::new(Refusal::InvalidUpstreamResponse);
        match self {
            Self::Coded => rejection
                .with_detail("the upstream's response has a content coding and cannot be checked"),
            Self::TooLong => {
                rejection.with_detail("the upstream's response exceeds the size limit")
            }
            Self::Exhausted => MemoryExhausted.into(),
            Self::Malformed(_) => {
                rejection.with_detail("the upstream's response is not strict JSON")
            }
            Self::Broken(_) => rejection,
        }
    }
}

/// The text for the log. It contains no values.
impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => f.write_str("has a content coding"),
            Self::TooLong => f.write_str("is too long"),
            Self::Exhausted => f.write_str("exceeds the memory limit"),
            Self::Malformed(malformed) => write!(f, "is not strict JSON: {malformed}"),
            Self::Broken(violations) => {
                f.write_str("violates its schema")?;
                for (at, violation) in violations.iter().enumerate() {
                    let between = if at == 0 { ":" } else { ";" };
                    let Violation { pointer, keyword, detail } = violation;
                    write!(f, "{between} {pointer:?} {keyword}: {detail}")?;
                }
                Ok(())
            }
        }
    }
}
