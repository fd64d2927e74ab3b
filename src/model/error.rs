use std::{error::Error, fmt};

use crate::{
    payload::DocumentError,
    rejection::{Refusal, Rejection},
};

/// An error from finding the target of a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TargetError {
    /// The path is ambiguous. It has a percent sign, a dot segment, an empty segment before the last or a
    /// character other than letters, digits and `-._~/`.
    Path,
    /// The route reaches no known model.
    Route,
    /// The body has to name the model and its type is not JSON in UTF-8.
    MediaType,
    /// The body has to name the model and cannot be read.
    Body(DocumentError),
    /// The body names no model.
    Missing,
    /// The name of the model or the provider is not valid. It is not a string or it is empty, too long, a
    /// URL or a path.
    Name,
    /// The body has members that only some upstreams read as the model.
    Ambiguous,
    /// Path and body name different models or providers.
    Conflict,
}

impl TargetError {
    /// Returns the rejection for this error.
    ///
    /// An error that the client can correct in the body is 400 `malformed-payload` or 415
    /// `unsupported-media-type`. Every other error is 403 `forbidden`.
    #[must_use]
    pub fn rejection(self) -> Rejection {
        let refusal = match self {
            Self::Body(error) => return error.rejection(),
            Self::MediaType => Refusal::UnsupportedMediaType,
            Self::Missing => Refusal::MalformedPayload,
            Self::Path | Self::Route | Self::Name | Self::Ambiguous | Self::Conflict => {
                Refusal::Forbidden
            }
        };
        Rejection::new(refusal).with_detail(self.as_str())
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Path => {
                "the path is ambiguous: remove percent signs, dot segments and empty segments"
            }
            Self::Route => "this route reaches no known model",
            Self::MediaType => "the body names the model and must be application/json",
            Self::Body(_) => "the body names the model and cannot be read",
            Self::Missing => "the body names no model: set the member `model`",
            Self::Name => "the name of the model or provider is not valid",
            Self::Ambiguous => "some upstreams read another member as the model: send only `model`",
            Self::Conflict => "path and body name different models or providers",
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error for TargetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Body(error) => Some(error),
            _ => None,
        }
    }
}
