use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    flight::Waiter,
    remote::Fetched,
    verifier::{Verdict, Verifier},
};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The answer of the inner service, or a refusal. Made by [`Auth`](super::Auth).
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: State<F, S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, B> {
        Pass { #[pin] future: F },
        // Boxed: few requests ever wait for keys, and all others would be as large.
        Wait { waiting: Option<Box<Waiting<S, B>>> },
        Refuse { refusal: Option<(Rejection, Responder, RequestContext)> },
    }
}

/// A request that waits for keys.
pub(super) struct Waiting<S, B> {
    pub(super) waiter: Waiter<Fetched>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) responder: Responder,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn pass(future: F) -> Self {
        Self { state: State::Pass { future } }
    }

    pub(super) fn wait(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn refuse(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Refuse { refusal: Some((rejection, responder, context)) } }
    }
}

impl<F, S, B, R, E> Future for ResponseFuture<F, S, B>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<B>, Future = F>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Refuse { refusal } => {
                    let Some((rejection, responder, context)) = refusal.take() else {
                        // Polled after its end: never ready again.
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(responder.respond(rejection, &context)));
                }
                StateProj::Wait { waiting } => {
                    let Some(held) = waiting else {
                        return Poll::Pending;
                    };
                    // How the fetch ended is seen by the keys that are there now.
                    let _ended = ready!(Pin::new(&mut held.waiter).poll(cx));
                    let Some(held) = waiting.take() else {
                        return Poll::Pending;
                    };
                    held.go_on()
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> Waiting<S, B> {
    fn go_on(self) -> State<S::Future, S, B>
    where
        S: Service<Request<B>>,
    {
        let Self { waiter, verifier, responder, context, mut inner, request } = self;
        // Gives the seat back.
        drop(waiter);
        match verifier.judge(request.headers(), true) {
            Verdict::Admit(identity) => {
                context.set_identity(identity);
                State::Pass { future: inner.call(request) }
            }
            Verdict::Refuse(rejection) => {
                State::Refuse { refusal: Some((rejection, responder, context)) }
            }
            // Not said to one that has waited.
            Verdict::Wait(waiter) => State::Wait {
                waiting: Some(Box::new(Self {
                    waiter,
                    verifier,
                    responder,
                    context,
                    inner,
                    request,
                })),
            },
        }
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Wait { .. } => "wait",
            State::Refuse { .. } => "refuse",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
