use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    attempt::{Again, Attempt, Rejected, Waiting},
    body::ResponseBody,
};
use crate::{
    context::RequestContext,
    rejection::{Rejection, Responder},
    stages::TokenWait,
};

pin_project! {
    /// Response future for [`HfToken`](super::HfToken).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: State<F, S, B>,
        // `None` when the layer is disabled and rejects nothing, and after completion.
        responder: Option<(Responder, RequestContext)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, B> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        Unchanged { #[pin] future: F },
        // Boxed: only the first requests wait for a token, and have themselves with them.
        Wait { waiting: Option<Box<Waiting<S, B>>> },
        // `None` after completion.
        Pass { #[pin] future: F, attempt: Option<Attempt<S>> },
        // The upstream rejected the token and the next one is fetched.
        Refresh { wait: TokenWait, attempt: Option<Attempt<S>> },
        // Waits until the inner service is ready.
        Again { again: Option<Again<S>> },
    }
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = State::Reject { rejection: Some(rejection) };
        Self { state, responder: Some((responder, context)) }
    }

    pub(super) const fn unchanged(future: F) -> Self {
        Self { state: State::Unchanged { future }, responder: None }
    }

    pub(super) const fn pass(
        future: F,
        attempt: Attempt<S>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = State::Pass { future, attempt: Some(attempt) };
        Self { state, responder: Some((responder, context)) }
    }

    pub(super) fn wait(
        waiting: Waiting<S, B>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = State::Wait { waiting: Some(Box::new(waiting)) };
        Self { state, responder: Some((responder, context)) }
    }
}

impl<S, B, R> Future for ResponseFuture<S::Future, S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    B: 'static,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            // A poll after completion stays pending.
            let next = match (this.state.as_mut().project(), &*this.responder) {
                (StateProj::Unchanged { future }, _) => {
                    return future
                        .poll(cx)
                        .map_ok(|response| response.map(ResponseBody::unchanged));
                }
                (_, None) => return Poll::Pending,
                (StateProj::Reject { rejection }, Some((responder, context))) => {
                    let Some(rejection) = rejection.take() else { return Poll::Pending };
                    let response = responder.respond(rejection, context);
                    return Poll::Ready(Ok(response.map(ResponseBody::rejection)));
                }
                (StateProj::Pass { future, attempt }, Some((_, context))) => {
                    let response = ready!(context.in_attempt(|| future.poll(cx))?);
                    let Some(attempt) = attempt.take() else { return Poll::Pending };
                    if response.extensions().get::<Rejection>().is_none() {
                        let scrubber = attempt.stage().scrubber();
                        let is_secret = |id: &[u8]| scrubber.is_in(id);
                        context.note_response(response.status(), response.headers(), is_secret);
                    }
                    match response.status() {
                        StatusCode::UNAUTHORIZED => after_rejection(attempt.rejected(context)),
                        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                            State::Reject { rejection: Some(attempt.rejected_by_proxy(context)) }
                        }
                        _ => match filtered(response, attempt, context) {
                            Ok(response) => {
                                *this.responder = None;
                                return Poll::Ready(Ok(response));
                            }
                            Err(rejection) => State::Reject { rejection: Some(rejection) },
                        },
                    }
                }
                (StateProj::Wait { waiting: slot }, Some((_, context))) => {
                    let Some(mut waiting) = slot.take() else { return Poll::Pending };
                    if Pin::new(&mut waiting.wait).poll(cx).is_pending() {
                        *slot = Some(waiting);
                        return Poll::Pending;
                    }
                    sent(waiting.send(context))
                }
                (StateProj::Refresh { wait, attempt }, Some((_, context))) => {
                    let _done = ready!(Pin::new(wait).poll(cx));
                    let Some(attempt) = attempt.take() else { return Poll::Pending };
                    after_rejection(attempt.rejected(context))
                }
                (StateProj::Again { again: slot }, Some((_, context))) => {
                    let Some(again) = slot else { return Poll::Pending };
                    ready!(again.inner().poll_ready(cx)?);
                    let Some(again) = slot.take() else { return Poll::Pending };
                    sent(again.send(context))
                }
            };
            this.state.set(next);
        }
    }
}

/// Returns the upstream's response as the gateway sends it.
fn filtered<S, R: Body>(
    mut response: Response<R>,
    attempt: Attempt<S>,
    context: &RequestContext,
) -> Result<Response<ResponseBody<R>>, Rejection> {
    if response.status().is_success() {
        attempt.accepted();
    }
    let filter = attempt.into_filter();
    response.extensions_mut().clear();
    filter.apply(response.headers_mut());
    let scrub = filter.body_scrub(&mut response, context)?;
    Ok(response.map(|body| ResponseBody::filtered(body, filter, scrub)))
}

fn after_rejection<F, S, B>(rejected: Rejected<S>) -> State<F, S, B> {
    match rejected {
        Rejected::SendAgain(again) => State::Again { again: Some(again) },
        Rejected::Wait(wait, attempt) => State::Refresh { wait, attempt: Some(attempt) },
        Rejected::Final(rejection) => State::Reject { rejection: Some(rejection) },
    }
}

fn sent<F, S, B>(sent: Result<(F, Attempt<S>), Rejection>) -> State<F, S, B> {
    match sent {
        Ok((future, attempt)) => State::Pass { future, attempt: Some(attempt) },
        Err(rejection) => State::Reject { rejection: Some(rejection) },
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
    // Without the request, which has a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
