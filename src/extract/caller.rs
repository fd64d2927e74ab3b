use std::{ops::Deref, sync::Arc};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{header::AUTHORIZATION, request::Parts};

use super::rejection::ExtractRejection;
use crate::{
    context::RequestContext,
    identity::Identity,
    rejection::{Refusal, Rejection},
    unverified,
};

/// The verified caller of a request.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart as axum's extractors")]
pub struct Caller(pub Arc<Identity>);

impl Caller {
    fn of(parts: &Parts) -> Option<Self> {
        RequestContext::of(&parts.extensions).and_then(RequestContext::identity).map(Self)
    }
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ExtractRejection> {
        let missing = || {
            let rejection = Rejection::new(Refusal::MissingCredentials);
            // The client did send a token: the mistake is the order of the layers.
            let rejection = if parts.headers.contains_key(AUTHORIZATION) {
                rejection.with_detail(unverified::DETAIL)
            } else {
                rejection
            };
            ExtractRejection::new(rejection, parts)
        };
        Self::of(parts).ok_or_else(missing)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = ExtractRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, ExtractRejection> {
        Ok(Self::of(parts))
    }
}
