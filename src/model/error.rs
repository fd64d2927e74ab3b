use std::{error::Error, fmt};

use crate::{
    payload::DocumentError,
    rejection::{Refusal, Rejection},
};

/// Why nobody can say which model a request will reach.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TargetError {
    /// The path can be read in more than one way: percent signs, dot segments, empty ones before
    /// the last, or other than letters, digits and `-._~/`.
    Path,
    /// The route reaches no model, or none that is known here.
    Route,
    /// The model's name is in the body, whose type is not JSON in UTF-8.
    MediaType,
    /// The model's name is in the body, which cannot be read.
    Body(DocumentError),
    /// The body names no model.
    Missing,
    /// What stands for the model or the provider is not a name: not a string, empty, too long, a
    /// URL, a path.
    Name,
    /// The body has members which some upstreams take for the model, and others do not.
    Ambiguous,
    /// Path and body name different models or providers.
    Conflict,
}

impl TargetError {
    /// The refusal that says so. What the caller can mend in the body is `malformed-payload` (400)
    /// or `unsupported-media-type` (415), as when the body cannot be read; all else is `forbidden`
    /// (403).
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
            Self::Path => "the path can be read in more than one way",
            Self::Route => "this route reaches no model that is known here",
            Self::MediaType => "the model is named in the body, which must be application/json",
            Self::Body(_) => "the model is named in the body, which cannot be read",
            Self::Missing => "the body names no model",
            Self::Name => "the model's name is not one",
            Self::Ambiguous => "the body has a member that may be taken for the model",
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
