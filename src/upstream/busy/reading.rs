use std::time::Duration;

use http::{StatusCode, response::Parts};

use super::{
    body::{self, Stated},
    headers::{reset_wait, write_wait},
};
use crate::{
    body::is_coded,
    clock::SharedClock,
    context::{RequestContext, UpstreamState},
    payload::says_json,
    retry_after::{sent_at, stated_wait},
};

/// The bytes of a body that are searched for a wait. The bodies in question have some hundred.
pub(in crate::upstream) const MAX_BODY_BYTES: usize = 16 * 1024;

/// The wait for a model that is loading without saying how long, in seconds.
///
/// Small models load in that time, and clients that retry twice cover the loading of larger ones.
const STARTING: f64 = 10.0;

/// Dedicated Inference Endpoints of Hugging Face.
const DEDICATED: &str = ".endpoints.huggingface.cloud";

/// A response of an upstream that is busy or cold.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct BusyResponse {
    is_dedicated: bool,
    wants_body: bool,
}

impl BusyResponse {
    /// Returns `None` for the head of any other response.
    pub(in crate::upstream) fn of(
        head: &Parts,
        is_for_head: bool,
        context: &RequestContext,
    ) -> Option<Self> {
        let readable = || !is_for_head && !is_coded(&head.headers);
        let is_dedicated = || context.upstream().is_some_and(|origin| origin.ends_with(DEDICATED));
        let (is_dedicated, wants_body) = match head.status {
            StatusCode::TOO_MANY_REQUESTS => (false, false),
            StatusCode::SERVICE_UNAVAILABLE => {
                let is_dedicated = is_dedicated();
                (is_dedicated, (is_dedicated || says_json(&head.headers)) && readable())
            }
            // huggingface_hub#1605 reports a 502 while an endpoint scales up.
            StatusCode::BAD_GATEWAY if is_dedicated() => (true, false),
            StatusCode::BAD_REQUEST if is_dedicated() => (true, readable()),
            _ => return None,
        };
        Some(Self { is_dedicated, wants_body })
    }

    /// Returns whether the body may say more than the head.
    pub(in crate::upstream) const fn wants_body(self) -> bool {
        self.wants_body
    }

    /// Records and returns the state of the upstream. Writes `retry-after` for 429 and 503.
    pub(in crate::upstream) fn conclude(
        self,
        head: &mut Parts,
        body: &[u8],
        max: Duration,
        clock: &SharedClock,
        context: &RequestContext,
    ) -> Option<UpstreamState> {
        let stated =
            if self.wants_body { body::read(body, self.is_dedicated) } else { Stated::default() };
        let state = stated.state.or(match head.status {
            StatusCode::BAD_REQUEST => None,
            StatusCode::TOO_MANY_REQUESTS => Some(UpstreamState::Busy),
            // The proxy of a dedicated endpoint responds with 503 "while the new replica is
            // initializing" (Inference Endpoints, guide "Autoscaling").
            _ if self.is_dedicated => Some(UpstreamState::Starting),
            _ => Some(UpstreamState::Busy),
        });
        context.set_upstream_state(state);
        let is_429 = head.status == StatusCode::TOO_MANY_REQUESTS;
        if !is_429 && head.status != StatusCode::SERVICE_UNAVAILABLE {
            return state;
        }
        // A date is relative to the clock that wrote it.
        let now = sent_at(&head.headers).unwrap_or_else(|| clock.unix_seconds() as f64);
        let wait = stated_wait(&head.headers, now)
            .or_else(|| is_429.then(|| reset_wait(&head.headers, now))?)
            .or(stated.wait)
            .or_else(|| (state == Some(UpstreamState::Starting)).then_some(STARTING));
        write_wait(&mut head.headers, wait, max.as_secs_f64());
        state
    }
}
