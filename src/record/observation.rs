use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, Version, uri::PathAndQuery};

use super::{capture::Capture, chunk_times::ChunkTimes, response_facts::ResponseFacts};
use crate::context::RequestContext;

/// The facts of a request that the recording layer has seen so far.
pub(crate) struct Observation {
    pub(crate) context: RequestContext,
    pub(crate) method: Method,
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) http_version: Version,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) client_address: Option<IpAddr>,
    /// Of the response body. `None` unless a sink needs it. Boxed, because few do.
    pub(crate) completion: Option<Box<Capture>>,
    pub(crate) time: SystemTime,
    /// By the monotonic clock.
    pub(crate) arrived_at: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) head_after: Option<Duration>,
    pub(crate) first_byte_after: Option<Duration>,
    /// The first token of the response text, by the tap.
    pub(crate) first_token_after: Option<Duration>,
    /// `None` unless a sink needs them.
    pub(crate) response_facts: Option<Box<ResponseFacts>>,
    /// `None` unless a sink needs them.
    pub(crate) chunk_times: Option<Box<ChunkTimes>>,
    pub(crate) bytes_out: u64,
    /// Whether a sink of the layer needs the digest of the request body.
    pub(crate) digests_prompt: bool,
}
