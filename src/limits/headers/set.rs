use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::{limits::kind::Unit, rejection::Rejection};

pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// An extension of responses. An inner layer of this crate set the headers, not an upstream.
#[derive(Clone, Copy, Debug)]
struct RateLimitHeadersSet;

/// The headers of one response.
#[derive(Debug)]
pub(crate) struct RateLimitHeaders {
    unit: Unit,
    policy: Option<HeaderValue>,
    limit: Option<HeaderValue>,
    // Limit, remaining and reset.
    open_ai: Option<Box<[HeaderValue; 3]>>,
}

impl RateLimitHeaders {
    pub(super) const fn new(
        unit: Unit,
        policy: Option<HeaderValue>,
        limit: Option<HeaderValue>,
        open_ai: Option<Box<[HeaderValue; 3]>>,
    ) -> Self {
        Self { unit, policy, limit, open_ai }
    }

    /// Sets the headers of a response.
    pub(crate) fn apply<R>(self, response: &mut Response<R>) {
        let extensions = response.extensions();
        let ours = extensions.get::<RateLimitHeadersSet>().is_some()
            || extensions.get::<Rejection>().is_some();
        let unit = self.unit;
        self.write(ours, response.headers_mut());
        // A layer of requests, which lies outside of layers of tokens, appends to these headers.
        if unit == Unit::Tokens {
            response.extensions_mut().insert(RateLimitHeadersSet);
        }
    }

    /// Appends to headers of this crate, or replaces those of an upstream.
    pub(crate) fn write(self, append: bool, headers: &mut HeaderMap) {
        let mut set = |name, value| {
            if append {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        };
        if let Some(policy) = self.policy {
            set(POLICY, policy);
        }
        if let Some(limit) = self.limit {
            set(LIMIT, limit);
        }
        if let Some(values) = self.open_ai {
            for (name, value) in open_ai_names(self.unit).into_iter().zip(*values) {
                headers.insert(name, value);
            }
        }
    }
}

const fn open_ai_names(unit: Unit) -> [HeaderName; 3] {
    match unit {
        Unit::Requests => [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        Unit::Tokens => [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    }
}
