use std::sync::Arc;

use http::StatusCode;

use super::{attempt::Attempt, cache_outcome::CacheOutcome, stream_end::StreamEnd, usage::Usage};

/// The results that layers recorded for a request, as [`RequestContext::outcome`] returns them.
///
/// An outcome is a snapshot. Take it after the response body has ended, because token counts and
/// [`stream_end`](Self::stream_end) arrive with the body.
///
/// [`RequestContext::outcome`]: super::RequestContext::outcome
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Slug of the first rejection by a layer of this crate, such as `throttled`.
    pub rejection: Option<&'static str>,
    /// Name of the first limit that rejected the request.
    pub limited_by: Option<Arc<str>>,
    /// Name of the first limit in shadow mode that would have rejected the request.
    pub shadow_limited_by: Option<Arc<str>>,
    /// How the cache took part, or `None` without a cache.
    pub cache: Option<CacheOutcome>,
    /// Whether another model or upstream served the request than the client named.
    pub fell_back: bool,
    /// How many times the request was sent to the upstream.
    pub attempts: u32,
    /// The attempts whose response was not used, in their order.
    pub abandoned: Vec<Attempt>,
    /// Status of the last upstream response.
    pub upstream_status: Option<StatusCode>,
    /// Bytes read of the request body.
    pub bytes_in: u64,
    /// Token counts that the upstream reported last.
    pub usage: Option<Usage>,
    /// Estimated tokens of the response text that passed a [`Tap`](crate::tap::Tap).
    ///
    /// The access log leaves 0 for a JSON document unless a layer has [announced] that it reads them. A
    /// hit of the cache has the tokens of its entry.
    ///
    /// [announced]: super::RequestContext::announce_generated_tokens_are_read
    pub generated_tokens: u64,
    /// How the stream of the response ended, or `None` while it runs and for other responses.
    pub stream_end: Option<StreamEnd>,
}
