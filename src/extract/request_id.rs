use std::{fmt, ops::Deref};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{context::misconfigured, rejection::ExtractRejection};
use crate::context::RequestContext;

/// The id of a request.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Returns the id.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    fn of(parts: &Parts) -> Option<Self> {
        let context = RequestContext::of(&parts.extensions)?;
        context.request_id().map(|id| Self(id.into()))
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ExtractRejection> {
        let missing = "a handler needs the request id; put RequestIdLayer outside of the router";
        Self::of(parts).ok_or_else(|| misconfigured(missing, parts))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for RequestId {
    type Rejection = ExtractRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, ExtractRejection> {
        Ok(Self::of(parts))
    }
}
