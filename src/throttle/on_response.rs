use std::sync::Arc;

use http::{Method, Response};

use crate::limits::{Decision, LimitSet, PermitRequest, RateLimitHeaders, Release};

/// The layer's work on the response to a request that passed.
#[derive(Debug)]
pub(super) struct OnResponse {
    release: Option<Release>,
    headers: Option<RateLimitHeaders>,
    is_for_head: bool,
}

/// What the end of a response body gives back.
pub(super) struct AtEnd {
    pub(super) release: Release,
    pub(super) is_for_head: bool,
}

impl OnResponse {
    /// Returns `None` where nothing is to be done.
    pub(super) fn new(
        limits: &Arc<LimitSet>,
        requests: &[PermitRequest],
        decision: &Decision,
        method: &Method,
    ) -> Option<Self> {
        if !limits.acts_on_responses() {
            return None;
        }
        let release = Release::new(limits, requests, decision);
        let headers = limits.response_headers(requests, decision);
        let any = release.is_some() || headers.is_some();
        any.then(|| Self { release, headers, is_for_head: method == Method::HEAD })
    }

    /// Edits the response. Returns what the end of its body gives back.
    pub(super) fn apply<R>(self, response: &mut Response<R>) -> Option<AtEnd> {
        let Self { release, headers, is_for_head } = self;
        let release = release.and_then(|release| release.on_response(response));
        if let Some(headers) = headers {
            headers.apply(response);
        }
        release.map(|release| AtEnd { release, is_for_head })
    }
}
