//! A request on its way to the upstream, and what it needs to be sent once more.

use std::sync::Arc;

use http::{Request, StatusCode, header::AUTHORIZATION};
use tower_service::Service;

use super::{
    response_filter::ResponseFilter,
    settings::{Settings, not_directed},
};
use crate::{
    context::{self, AbandonReason, Level, RequestContext},
    log_limit::warn_if_due,
    rejection::{Refusal, Rejection},
    replay::RequestCopy,
    stages::{Refreshed, SentToken, Stage, StageAccess, TokenWait},
};

/// A request that was sent with a token.
#[derive(Debug)]
pub(super) struct Attempt<S> {
    route: Route,
    sent: SentToken,
    /// `None` for a second attempt and for a request that cannot be sent twice.
    // Boxed, since it has a copy of the head.
    replay: Option<Box<Replay<S>>>,
    is_second: bool,
    /// The fetches that the request has waited for since the token was rejected.
    waits: u8,
}

/// A fetch that began before the token was rejected, and the one that follows it.
const MAX_WAITS: u8 = 2;

/// The remedies of a rejected token.
const CHECK: &str =
    "check the token of HfTokenLayer and the header that HfTokenLayer::profile names";
const BUFFER: &str = "the body of the request is streamed, so it is not sent again with the next token; \
                      buffer it with PayloadLayer::new()";

/// The settings and the stage of a request.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) settings: Arc<Settings>,
    pub(super) access: StageAccess,
}

#[derive(Debug)]
pub(super) struct Replay<S> {
    copy: RequestCopy,
    // Not ready yet.
    inner: S,
}

/// A request that waits for the first token.
pub(super) struct Waiting<S, B> {
    pub(super) route: Route,
    pub(super) request: Request<B>,
    pub(super) copy: Option<RequestCopy>,
    /// Ready.
    pub(super) inner: S,
    pub(super) wait: TokenWait,
}

/// A request that is sent again once the inner service is ready.
pub(super) struct Again<S> {
    route: Route,
    replay: Box<Replay<S>>,
}

/// The next step of a request whose token the upstream rejected.
pub(super) enum Rejected<S> {
    /// The token has a successor.
    SendAgain(Again<S>),
    /// The successor is being fetched.
    Wait(TokenWait, Attempt<S>),
    /// The caller gets an error.
    Final(Rejection),
}

impl Route {
    fn stage(&self) -> &Stage {
        self.access.stage()
    }

    /// Copies a request whose token can change. It has no token yet.
    pub(super) fn copy<B: 'static>(&self, request: &Request<B>) -> Option<RequestCopy> {
        if !self.access.can_refresh() {
            return None;
        }
        let token_header = self.stage().token_header();
        RequestCopy::of(request, |name| *name == AUTHORIZATION || *name == token_header)
    }

    /// Notes in the context that the request is sent.
    pub(super) fn count<B>(&self, request: &mut Request<B>, context: &RequestContext) {
        let stage = self.stage();
        context.set_origin(stage.origin().shared_name());
        context.begin_attempt(Level::Origin, request);
        context.set_attempt_stage(&stage.shared_name(), stage.kind().provider_name());
    }

    /// Directs the request with the token that is there.
    fn direct_at_once<B>(&self, request: &mut Request<B>) -> Result<SentToken, Rejection> {
        self.access.direct_at_once(request).map_err(not_directed)
    }

    /// Rejects a request whose token the upstream rejected with `status`.
    fn token_rejected(
        &self,
        status: StatusCode,
        advice: &'static str,
        context: &RequestContext,
    ) -> Rejection {
        context.set_upstream_status(status);
        let stage = self.stage();
        warn_if_due!(
            self.settings.log.is_due(advice, stage.name()),
            upstream = context.upstream().map(display),
            stage = stage.name(),
            status = status.as_u16(),
            header = %stage.token_header(),
            "the upstream rejected the gateway's token; {advice}"
        );
        Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream rejected the gateway's token")
    }
}

impl<S> Attempt<S> {
    pub(super) fn new(route: Route, sent: SentToken, again: Option<(RequestCopy, S)>) -> Self {
        let replay = again.map(|(copy, inner)| Box::new(Replay { copy, inner }));
        Self { route, sent, replay, is_second: false, waits: 0 }
    }

    pub(super) fn stage(&self) -> &Stage {
        self.route.stage()
    }

    /// Notes that the upstream has taken the token.
    pub(super) fn accepted(&self) {
        self.sent.accept();
    }

    pub(super) fn into_filter(self) -> ResponseFilter {
        ResponseFilter::new(self.route.settings, self.route.access.into_stage())
    }

    /// Looks for the token that replaces the rejected one.
    pub(super) fn rejected(mut self, context: &RequestContext) -> Rejected<S> {
        let refreshed = self.route.access.refresh(&self.sent);
        // The fetch goes on for later requests although this one cannot be sent twice.
        let Some(replay) = self.replay.take() else {
            let is_last = self.is_second || matches!(refreshed, Refreshed::Unchanged);
            return self.refused(if is_last { CHECK } else { BUFFER }, context);
        };
        match refreshed {
            Refreshed::Changed => Rejected::SendAgain(Again { route: self.route, replay }),
            Refreshed::Wait(wait) if self.waits < MAX_WAITS => {
                let waits = self.waits + 1;
                Rejected::Wait(wait, Self { replay: Some(replay), waits, ..self })
            }
            Refreshed::Wait(_) | Refreshed::Unchanged => self.refused(CHECK, context),
        }
    }

    fn refused(&self, advice: &'static str, context: &RequestContext) -> Rejected<S> {
        Rejected::Final(self.route.token_rejected(StatusCode::UNAUTHORIZED, advice, context))
    }

    /// Rejects a request whose token a proxy rejected.
    pub(super) fn rejected_by_proxy(&self, context: &RequestContext) -> Rejection {
        self.route.token_rejected(StatusCode::PROXY_AUTHENTICATION_REQUIRED, CHECK, context)
    }
}

impl<S> Again<S> {
    /// Returns the service, which is not ready yet.
    pub(super) fn inner(&mut self) -> &mut S {
        &mut self.replay.inner
    }

    /// Sends the request with the present token. The inner service must be ready.
    pub(super) fn send<B: 'static>(
        mut self,
        context: &RequestContext,
    ) -> Result<(S::Future, Attempt<S>), Rejection>
    where
        S: Service<Request<B>>,
    {
        let rejected = || self.route.token_rejected(StatusCode::UNAUTHORIZED, CHECK, context);
        let mut request = self.replay.copy.request::<B>().ok_or_else(rejected)?;
        let sent = self.route.direct_at_once(&mut request)?;
        let stage = self.route.stage().shared_name();
        let mut first = context::Attempt::abandoned(stage, AbandonReason::TokenRejected);
        first.status = Some(StatusCode::UNAUTHORIZED);
        context.add_abandoned(first);
        self.route.count(&mut request, context);
        let future = context.in_attempt(|| self.replay.inner.call(request));
        Ok((future, Attempt { is_second: true, ..Attempt::new(self.route, sent, None) }))
    }
}

impl<S, B: 'static> Waiting<S, B> {
    /// Sends the request after the wait.
    pub(super) fn send(
        mut self,
        context: &RequestContext,
    ) -> Result<(S::Future, Attempt<S>), Rejection>
    where
        S: Service<Request<B>>,
    {
        let sent = self.route.direct_at_once(&mut self.request)?;
        self.route.count(&mut self.request, context);
        let future = context.in_attempt(|| self.inner.call(self.request));
        let again = self.copy.map(|copy| (copy, self.inner));
        Ok((future, Attempt::new(self.route, sent, again)))
    }
}
