use std::sync::Arc;

use http::{HeaderName, Method, Request, Version};

use crate::{
    clock::SharedClock,
    hop_by_hop::strip_headers,
    log_limit::{LogLimit, warn_if_due},
    rejection::{Refusal, Rejection, RejectionFormat},
    stages::{NoToken, NotDirected, Stage},
    stripped_headers::is_stripped,
};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The stage of requests for which no layer outside has chosen one.
    pub(super) stage: Stage,
    // The usual `None` costs nothing to clone.
    pub(super) allowed: Option<Arc<[HeaderName]>>,
    pub(super) format: RejectionFormat,
    pub(super) scrub_bodies: bool,
    /// Clients set the rate of these events.
    pub(super) log: Arc<LogLimit>,
}

impl Settings {
    pub(super) fn new(stage: Stage) -> Self {
        Self::with_clock(stage, SharedClock::default())
    }

    pub(super) fn with_clock(stage: Stage, clock: SharedClock) -> Self {
        Self {
            stage,
            allowed: None,
            format: RejectionFormat::default(),
            scrub_bodies: false,
            log: Arc::new(LogLimit::new(clock)),
        }
    }

    /// Rejects a request that no token of the stage is for. The log has its tenant or model.
    pub(super) fn no_token(&self, stage: &Stage, reason: &NoToken) -> Rejection {
        let stage = stage.name();
        warn_if_due!(
            self.log.is_due("no token", stage),
            stage,
            %reason,
            "the stage has no token for this request"
        );
        forbidden(reason.detail())
    }
}

/// Removes from the request what must not leave, or rejects a request that must not.
pub(super) fn prepare<B>(request: &mut Request<B>, stage: &Stage) -> Result<(), Rejection> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(forbidden("the methods CONNECT and TRACE are not forwarded"));
    }
    if !stage.takes(request.method(), request.uri().path()) {
        return Err(Rejection::new(Refusal::NotFound).with_detail(
            "the upstream has no such route of inference; compare the path with its API",
        ));
    }
    *request.version_mut() = Version::HTTP_11;
    strip_headers(request.headers_mut(), |name| is_stripped(name.as_str()));
    Ok(())
}

/// Rejects a request that is not directed to its origin. The source of the token has logged the cause.
pub(super) fn not_directed(reason: NotDirected) -> Rejection {
    match reason {
        NotDirected::NoPath => forbidden("the request target needs a path"),
        NotDirected::Unavailable { retry_after } => {
            Rejection::new(Refusal::UpstreamTokenUnavailable)
                .with_detail(
                    "the gateway has no token for its upstream at this moment; try again later",
                )
                .with_retry_after(retry_after)
        }
    }
}

fn forbidden(detail: &'static str) -> Rejection {
    Rejection::new(Refusal::Forbidden).with_detail(detail)
}
