use axum_core::extract::FromRequestParts;
use http::request::Parts;

use super::rejection::ExtractRejection;
use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection},
};

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ExtractRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ExtractRejection> {
        let missing =
            "a handler needs the request's context; put a layer of tower-inference outside";
        Self::of(&parts.extensions).cloned().ok_or_else(|| misconfigured(missing, parts))
    }
}

/// The rejection of a request that lacks a layer.
pub(super) fn misconfigured(detail: &'static str, parts: &Parts) -> ExtractRejection {
    ExtractRejection::new(Rejection::new(Refusal::Misconfigured).with_detail(detail), parts)
}
