use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;

use super::body::ResponseBody;
use crate::limits::{Decision, LimitSet, PermitRequest, RateLimitHeaders, Release};

/// The layer's work on the response to a request that passed.
#[derive(Debug)]
pub(super) struct OnResponse {
    release: Option<Release>,
    headers: Option<RateLimitHeaders>,
    is_for_head: bool,
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

    pub(super) fn apply<R: Body<Data = Bytes>>(
        self,
        mut response: Response<R>,
    ) -> Response<ResponseBody<R>> {
        let Self { release, headers, is_for_head } = self;
        let release = release.and_then(|release| release.on_response(&response));
        if let Some(headers) = headers {
            headers.apply(&mut response);
        }
        match release {
            Some(release) => ResponseBody::releasing(response, is_for_head, release),
            None => response.map(ResponseBody::inner),
        }
    }
}
