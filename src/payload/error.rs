use std::{error::Error, fmt, time::Duration};

#[cfg(feature = "auth")]
use http::{HeaderValue, header::WWW_AUTHENTICATE};
use http_body_util::LengthLimitError;

#[cfg(feature = "auth")]
use crate::digest_mismatch::DigestMismatch;
use crate::{
    causes::causes,
    rejection::{Refusal, Rejection},
};

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
    /// Returns the rejection for this error: `payload-too-large`, `payload-timeout`,
    /// `malformed-payload` or, for a body that is not the signed one, `invalid-signature`. The setter
    /// of a bound is logged at `debug`, because only an operator can use it.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::TooLarge(None) => Rejection::new(Refusal::PayloadTooLarge)
                .with_detail("the request body exceeds the limit of an outer layer"),
            Self::TooLarge(Some(_)) => {
                self.beyond(Refusal::PayloadTooLarge, "PayloadLayer::max_body_bytes")
            }
            Self::TimedOut(_) => self.beyond(Refusal::PayloadTimeout, "PayloadLayer::body_timeout"),
            #[cfg(feature = "auth")]
            Self::Broken(error) if DigestMismatch::is_in(&**error) => {
                Rejection::new(Refusal::InvalidSignature)
                    .with_detail(DigestMismatch.to_string())
                    .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("AWS4-HMAC-SHA256"))
            }
            Self::Broken(_) => Rejection::new(Refusal::MalformedPayload)
                .with_detail("the request body ended early"),
        }
    }

    fn beyond(&self, refusal: Refusal, setter: &str) -> Rejection {
        beyond_bound(refusal, setter, self.to_string())
    }
}

/// Returns the rejection of a body beyond a bound. Only the log names the setter.
pub(crate) fn beyond_bound(refusal: Refusal, setter: &str, detail: String) -> Rejection {
    // Without a feature that logs, nobody reads it.
    let _ = setter;
    #[cfg(any(
        feature = "access-log",
        feature = "auth",
        feature = "hf",
        feature = "redis",
        feature = "request-id",
        feature = "schema",
        feature = "upstream"
    ))]
    tracing::debug!(setter, "request rejected: {detail}");
    Rejection::new(refusal).with_detail(detail)
}

impl From<BoxError> for PayloadError {
    /// Finds the error of an inner body in the chain of sources, so that wrapping does not hide it.
    fn from(error: BoxError) -> Self {
        for cause in causes(&*error) {
            match cause.downcast_ref() {
                Some(Self::TooLarge(limit)) => return Self::TooLarge(*limit),
                Some(Self::TimedOut(deadline)) => return Self::TimedOut(*deadline),
                Some(Self::Broken(_)) | None => {}
            }
            if cause.is::<LengthLimitError>() {
                return Self::TooLarge(None);
            }
        }
        Self::Broken(error)
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(None) => f.write_str("the request body is too large"),
            Self::TooLarge(Some(limit)) => {
                write!(f, "the request body exceeds the limit of {}", Size(*limit))
            }
            Self::TimedOut(deadline) => {
                write!(f, "the request body did not arrive within {deadline:?}")
            }
            Self::Broken(_) => f.write_str("the request body ended early"),
        }
    }
}

/// A number of bytes in its largest whole unit.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let is_whole = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        match units.into_iter().find(|(shift, _)| is_whole(*shift)) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
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
