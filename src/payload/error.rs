use std::{error::Error, fmt, time::Duration};

use http_body_util::LengthLimitError;

use crate::rejection::{Refusal, Rejection};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The reason why a body could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// The body is larger than the limit. The limit is given if it is known.
    TooLarge(Option<u64>),
    /// The body did not arrive within this timeout.
    TimedOut(Duration),
    /// The client's connection broke or an outer layer cut the body off.
    Broken(Box<dyn Error + Send + Sync>),
}

impl PayloadError {
    /// Returns the rejection for this error: `payload-too-large`, `payload-timeout` or
    /// `malformed-payload`.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::TooLarge(None) => Rejection::new(Refusal::PayloadTooLarge)
                .with_detail("the request body exceeds the limit of an outer layer"),
            Self::TooLarge(Some(_)) => Rejection::new(Refusal::PayloadTooLarge)
                .with_detail(format!("{self}; PayloadLayer::max_body_bytes sets this bound")),
            Self::TimedOut(_) => Rejection::new(Refusal::PayloadTimeout)
                .with_detail(format!("{self}; PayloadLayer::body_timeout sets this bound")),
            Self::Broken(_) => Rejection::new(Refusal::MalformedPayload)
                .with_detail("the request body ended early"),
        }
    }
}

impl From<BoxError> for PayloadError {
    /// Finds the error of an inner body in the chain of sources, so that wrapping does not hide it.
    fn from(error: BoxError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(known) = cause {
            match known.downcast_ref() {
                Some(Self::TooLarge(limit)) => return Self::TooLarge(*limit),
                Some(Self::TimedOut(deadline)) => return Self::TimedOut(*deadline),
                Some(Self::Broken(_)) | None => {}
            }
            if known.is::<LengthLimitError>() {
                return Self::TooLarge(None);
            }
            cause = known.source();
        }
        Self::Broken(error)
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(None) => f.write_str("the request body is too large"),
            Self::TooLarge(Some(limit)) => {
                write!(f, "the request body exceeds the limit of {limit} bytes")
            }
            Self::TimedOut(deadline) => {
                write!(f, "the request body did not arrive within {deadline:?}")
            }
            Self::Broken(_) => f.write_str("the request body ended early"),
        }
    }
}

impl Error for PayloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(&**error),
            Self::TooLarge(_) | Self::TimedOut(_) => None,
        }
    }
}
