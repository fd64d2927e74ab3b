use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{BudgetBody, bill::Bill, estimate::Estimate, layer::Settings, weights::Weight};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    payload::Payload,
    rejection::{Refusal, Rejection, Responder},
    throttle::{
        ask::{Asks, Decision},
        store::{Later, Unavailable},
    },
};

pin_project! {
    /// The future of [`TokenBudget`](super::TokenBudget).
    ///
    /// Dropped before the answer's head, it charges the prompt alone.
    #[must_use = "futures do nothing unless polled"]
    pub struct BudgetFuture<F, S> {
        #[pin]
        state: State<F, S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S> {
        // Without a bill where there is nothing to charge for.
        Pass { #[pin] future: F, bill: Option<Bill>, method: Method, hide_usage: bool },
        // Boxed: only what a shared store must decide waits, and that costs a round trip.
        Wait { waiting: Option<Box<Waiting<S>>> },
        // `None` once it was answered.
        Refuse { refusal: Option<(Rejection, Responder, RequestContext)> },
    }
}

/// A request that waits for a shared store.
pub(super) struct Waiting<S> {
    pub(super) later: Later<Result<Decision, Unavailable>>,
    pub(super) admission: Admission,
    pub(super) responder: Responder,
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
}

/// What is to be decided of a request.
pub(super) struct Admission {
    pub(super) settings: Arc<Settings>,
    pub(super) asks: Asks,
    pub(super) context: RequestContext,
    pub(super) estimate: (Estimate, Weight),
    pub(super) hide_usage: bool,
}

impl Admission {
    /// The bill of a request that passes.
    pub(super) fn judge(
        self,
        decision: Result<Decision, Unavailable>,
    ) -> Result<Bill, (Rejection, RequestContext)> {
        let Self { settings, asks, context, estimate, hide_usage: _ } = self;
        let (decision, rejection) = match decision {
            Ok(decision) => {
                let rejection = settings.limits.rejection(&asks, &decision, &context);
                (decision, rejection)
            }
            Err(Unavailable) => (Decision::default(), settings.limits.unavailable()),
        };
        match rejection {
            Some(rejection) => Err((saying_its_size(rejection, estimate.0), context)),
            None => Ok(Bill::new(&settings, asks, decision, context, estimate)),
        }
    }
}

/// Tells the caller what its request would have reserved. Of the budget the rejection tells alone.
fn saying_its_size(rejection: Rejection, estimate: Estimate) -> Rejection {
    if rejection.refusal() == Refusal::ThrottleUnavailable {
        return rejection;
    }
    let Estimate { prompt, output, .. } = estimate;
    let detail = format!(
        "{}; the prompt of this request is estimated at {prompt} tokens, and its output limit is \
         {output}",
        rejection.detail()
    );
    rejection.with_detail(detail)
}

impl<F, S> BudgetFuture<F, S> {
    pub(super) const fn pass(
        future: F,
        bill: Option<Bill>,
        method: Method,
        hide_usage: bool,
    ) -> Self {
        Self { state: State::Pass { future, bill, method, hide_usage } }
    }

    pub(super) fn wait(waiting: Waiting<S>) -> Self {
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

impl<F, S, R, E> Future for BudgetFuture<F, S>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<Payload>, Future = F>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<BudgetBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future, bill, method, hide_usage } => {
                    let answered = ready!(future.poll(cx));
                    let bill = bill.take();
                    return Poll::Ready(answered.map(|mut response| match bill {
                        Some(mut bill) => {
                            bill.answered(&mut response);
                            BudgetBody::billed(response, method, bill, *hide_usage)
                        }
                        None => response.map(ResponseBody::inner).map(BudgetBody::plain),
                    }));
                }
                StateProj::Refuse { refusal } => {
                    let Some((rejection, responder, context)) = refusal.take() else {
                        return Poll::Pending;
                    };
                    let response = responder.respond(rejection, &context);
                    return Poll::Ready(Ok(response.map(BudgetBody::plain)));
                }
                StateProj::Wait { waiting } => {
                    let Some(held) = waiting else { return Poll::Pending };
                    let decision = ready!(held.later.as_mut().poll(cx));
                    let Some(held) = waiting.take() else { return Poll::Pending };
                    held.go_on(decision)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Request<Payload>>> Waiting<S> {
    fn go_on(self, decision: Result<Decision, Unavailable>) -> State<S::Future, S> {
        let Self { later: _, admission, responder, mut inner, request } = self;
        let hide_usage = admission.hide_usage;
        match admission.judge(decision) {
            Ok(bill) => {
                let method = request.method().clone();
                State::Pass { future: inner.call(request), bill: Some(bill), method, hide_usage }
            }
            Err((rejection, context)) => {
                State::Refuse { refusal: Some((rejection, responder, context)) }
            }
        }
    }
}

impl<F, S> fmt::Debug for BudgetFuture<F, S> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Wait { .. } => "wait",
            State::Refuse { .. } => "refuse",
        };
        f.debug_struct("BudgetFuture").field("state", &state).finish()
    }
}
