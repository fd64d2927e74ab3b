use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::{
    body::ResponseBody,
    course::Failure,
    hold::{Goal, Verdict},
    planned::{Admission, Planned},
    run::{Run, RunAndHold, RunProj, State, StateProj, Step},
};
use crate::{
    context::AbandonReason, load_limit::NoPermit, payload::Payload, rejection::PendingRejection,
};

pin_project! {
    /// Response future for [`Fallback`](super::Fallback).
    ///
    /// Dropping it drops the attempt in flight and ends every wait.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, R, E> {
        #[pin]
        state: State<F>,
        // `None` for a request that passes unchanged and after completion.
        run: Option<Pin<Box<RunAndHold<S, R, E>>>>,
    }
}

impl<F, S, R, E> ResponseFuture<F, S, R, E> {
    /// Passes a request on unchanged. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass(inner: &mut S, request: Request<Payload>) -> Self
    where
        S: Service<Request<Payload>, Future = F>,
    {
        Self { state: State::Pass { future: inner.call(request) }, run: None }
    }

    pub(super) fn reject(pending: PendingRejection) -> Self {
        Self { state: State::Reject { pending: Some(Box::new(pending)) }, run: None }
    }

    pub(super) fn call(future: F, run: Run<S>) -> Self {
        Self { state: State::Call { future }, run: boxed(run, None) }
    }

    /// Waits before the first attempt.
    pub(super) fn wait(planned: Planned, run: Run<S>) -> Self {
        let (state, until) = planned.into_state();
        Self { state, run: boxed(run, until) }
    }
}

fn boxed<S, R, E>(run: Run<S>, until: Option<Instant>) -> Option<Pin<Box<RunAndHold<S, R, E>>>> {
    Some(Box::pin(RunAndHold { run, hold: None, timer: until.map(sleep_until) }))
}

impl<F, S, R, E> Future for ResponseFuture<F, S, R, R::Error>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<Payload>, Response = Response<R>, Error = E, Future = F> + Clone,
    R: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<ResponseBody<R, R::Error>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let step = match this.state.as_mut().project() {
                StateProj::Pass { future } => {
                    return future.poll(cx).map_ok(|response| response.map(ResponseBody::passed));
                }
                StateProj::Reject { pending } => {
                    // A poll after completion stays pending.
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(pending.respond().map(ResponseBody::plain)));
                }
                StateProj::Call { future } => {
                    let Some(current) = this.run else { return Poll::Pending };
                    let RunProj { run, mut timer, .. } = current.as_mut().project();
                    match future.poll(cx) {
                        Poll::Ready(result) => run.on_result(result),
                        Poll::Pending => {
                            ready!(run.poll_deadline(timer.as_mut(), cx));
                            let Some((next, until)) =
                                run.after_late(Failure::of(AbandonReason::Timeout))
                            else {
                                // No other target can start now, so this attempt goes on.
                                timer.set(run.next_look().map(sleep_until));
                                continue;
                            };
                            Step::Next(next, until)
                        }
                    }
                }
                StateProj::Hold => {
                    let Some(current) = this.run else { return Poll::Pending };
                    let RunProj { run, hold: slot, timer } = current.as_mut().project();
                    let Some(hold) = slot.as_mut() else { return Poll::Pending };
                    let verdict = match hold.poll(cx) {
                        Poll::Ready(verdict) => verdict,
                        Poll::Pending => {
                            ready!(run.poll_deadline(timer, cx));
                            match hold.goal {
                                Goal::Content => Verdict::Late,
                                Goal::Usage => Verdict::Pass,
                            }
                        }
                    };
                    let Some(hold) = slot.take() else { return Poll::Pending };
                    run.on_verdict(hold, verdict)
                }
                StateProj::Wait { next } => {
                    let (Some(current), Some(waiting)) = (&mut *this.run, next.as_ref()) else {
                        return Poll::Pending;
                    };
                    let RunProj { run, timer, .. } = current.as_mut().project();
                    if let Some(timer) = timer.as_pin_mut() {
                        ready!(timer.poll(cx));
                    }
                    let cools_until = run.course.cools_until(waiting.entry);
                    let Some(mut next) = next.take() else { return Poll::Pending };
                    // Another request may have failed meanwhile.
                    if let Some(until) = cools_until {
                        let (next, until) = run.cooled(next, until);
                        Step::Next(next, until)
                    } else {
                        match run.course.admit(next.entry) {
                            Ok(Admission::Now(permit)) => {
                                next.permit = permit;
                                Step::Next(State::Ready { next: Some(next) }, None)
                            }
                            Ok(Admission::Queued(wait)) => {
                                Step::Next(State::Queue { wait, next: Some(next) }, None)
                            }
                            Err(reason) => {
                                let (next, until) = run.refused(next.entry, reason);
                                Step::Next(next, until)
                            }
                        }
                    }
                }
                StateProj::Queue { wait, next } => {
                    let Some(current) = this.run else { return Poll::Pending };
                    let run = current.as_mut().project().run;
                    let permit = ready!(Pin::new(wait).poll(cx));
                    let Some(mut next) = next.take() else { return Poll::Pending };
                    if permit.is_none() {
                        let (next, until) = run.refused(next.entry, NoPermit::Full);
                        Step::Next(next, until)
                    } else if let Some(until) = run.course.cools_until(next.entry) {
                        drop(permit);
                        let (next, until) = run.cooled(next, until);
                        Step::Next(next, until)
                    } else {
                        next.permit = permit;
                        Step::Next(State::Ready { next: Some(next) }, None)
                    }
                }
                StateProj::Ready { next } => {
                    let Some(current) = this.run else { return Poll::Pending };
                    let run = current.as_mut().project().run;
                    let ready = ready!(run.poll_ready(cx));
                    let Some(next) = next.take() else { return Poll::Pending };
                    run.begin(next.entry, next.reached, next.permit, next.is_waited_for);
                    match ready {
                        Ok(mut inner) => {
                            Step::Next(State::Call { future: inner.call(next.request) }, None)
                        }
                        Err(error) => run.on_result(Err(error)),
                    }
                }
            };
            match step {
                Step::Next(next, until) => {
                    // Drops the attempt before a wait begins.
                    this.state.set(next);
                    if let Some(current) = this.run {
                        current.as_mut().project().timer.set(until.map(sleep_until));
                    }
                }
                Step::Hold(hold, until) => {
                    this.state.set(State::Hold);
                    if let Some(current) = this.run {
                        let mut current = current.as_mut().project();
                        *current.hold = Some(hold);
                        current.timer.set(until.map(sleep_until));
                    }
                }
                Step::Done(outcome) => {
                    this.state.set(State::Reject { pending: None });
                    *this.run = None;
                    return Poll::Ready(outcome);
                }
            }
        }
    }
}

impl<F, S, R, E> fmt::Debug for ResponseFuture<F, S, R, E> {
    // Without the request, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Reject { .. } => "reject",
            State::Call { .. } => "call",
            State::Hold => "hold",
            State::Wait { .. } => "wait",
            State::Queue { .. } => "queue",
            State::Ready { .. } => "ready",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
