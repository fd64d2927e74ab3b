use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use tokio::time::Instant;
use tower_service::Service;

use super::{call::UpstreamCall, settings::Settings};
use crate::{
    context::{Level, RequestContext},
    load_limit::{LoadWait, NoPermit},
};

/// A request that waits for a slot, with the instance of the inner service that was made ready.
pub(super) struct Queued<S, B> {
    pub(super) wait: LoadWait,
    pub(super) started: Instant,
    pub(super) settings: Arc<Settings>,
    pub(super) is_for_head: bool,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<S, B> Queued<S, B>
where
    S: Service<Request<B>>,
{
    /// Waits for the slot and calls the inner service. The error is why no slot was free in time.
    pub(super) fn poll(
        this: &mut Option<Box<Self>>,
        cx: &mut Context<'_>,
        context: &RequestContext,
    ) -> Poll<Result<UpstreamCall<S::Future>, NoPermit>> {
        // A poll after completion stays pending.
        let Some(waiting) = this else { return Poll::Pending };
        let slot = ready!(Pin::new(&mut waiting.wait).poll(cx));
        let Some(queued) = this.take() else { return Poll::Pending };
        let Some(slot) = slot else { return Poll::Ready(Err(queued.wait.reason())) };
        let Self { started, settings, is_for_head, mut inner, mut request, .. } = *queued;
        context.begin_attempt(Level::Upstream, &mut request);
        let future = context.in_attempt(|| inner.call(request));
        Poll::Ready(Ok(UpstreamCall::new(future, settings, is_for_head, slot, Some(started))))
    }
}

impl<S, B> fmt::Debug for Queued<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued").field("wait", &self.wait).finish_non_exhaustive()
    }
}
