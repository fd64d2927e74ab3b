use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, StatusCode, Version, uri::PathAndQuery};

use crate::context::RequestContext;

/// The facts of a request that the layer has seen so far.
pub(super) struct Observation {
    pub(super) context: RequestContext,
    pub(super) method: Method,
    pub(super) path: Option<PathAndQuery>,
    pub(super) http_version: Option<Version>,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) time: SystemTime,
    /// By the monotonic clock.
    pub(super) arrived_at: Duration,
    pub(super) status: Option<StatusCode>,
    pub(super) grpc_status: Option<u32>,
    pub(super) head_after: Option<Duration>,
    pub(super) first_byte_after: Option<Duration>,
    pub(super) bytes_out: u64,
}
