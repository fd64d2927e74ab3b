use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;

use super::{
    body::ResponseBody,
    course::Failure,
    hold::{Goal, Verdict},
    planned::{NoAttempt, Planned, Start},
    run::{Run, State, StateProj, Step},
};
use crate::{context::AbandonReason, payload::Payload, rejection::PendingRejection};

pin_project! {
    /// Response future for [`Fallback`](super::Fallback).
    ///
    /// Dropping it drops the attempt in flight and ends every wait.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, R, E> {
        #[pin]
        state: State<F, R, E>,
        // `None` for a request that passes unchanged and after completion.
        run: Option<Run<S>>,
        // The deadline of the attempt in flight, or the wait before the next one.
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F, S, R, E> ResponseFuture<F, S, R, E> {
    pub(super) const fn pass(future: F) -> Self {
        Self { state: State::Pass { future }, run: None, timer: None }
    }

    pub(super) const fn reject(pending: PendingRejection) -> Self {
        Self { state: State::Reject { pending: Some(pending) }, run: None, timer: None }
    }

    pub(super) const fn call(future: F, run: Run<S>) -> Self {
        Self { state: State::Call { future }, run: Some(run), timer: None }
    }

    /// Waits before the first attempt.
    pub(super) fn wait(planned: Planned, run: Run<S>) -> Self {
        let (state, until) = planned.into_state();
        Self { state, run: Some(run), timer: until.map(sleep_until) }
    }
}

impl<F, S, R, E> Future for ResponseFuture<F, S, R, R::Error>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<Payload>, Response = Response<R>, Error = E, Future = F>,
    R: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<ResponseBody<R, R::Error>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let step = match this.state.as_mut().project() {
                StateProj::Pass { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::passed)));
                }
                StateProj::Reject { pending } => {
                    // A poll after completion stays pending.
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(pending.respond().map(ResponseBody::plain)));
                }
                StateProj::Call { future } => {
                    let Some(run) = this.run else { return Poll::Pending };
                    match future.poll(cx) {
                        Poll::Ready(result) => run.on_result(result),
                        Poll::Pending => {
                            ready!(run.poll_deadline(this.timer.as_mut(), cx));
                            let failure = Failure::of(AbandonReason::Timeout);
                            match run.after(failure, None) {
                                Ok((next, until)) => Step::Next(next, until),
                                Err(_) => {
                                    // Nothing else is left, so this attempt goes on.
                                    run.is_bounded = false;
                                    this.timer.set(None);
                                    continue;
                                }
                            }
                        }
                    }
                }
                StateProj::Hold { hold: slot } => {
                    let (Some(run), Some(hold)) = (&mut *this.run, slot.as_mut()) else {
                        return Poll::Pending;
                    };
                    let verdict = match hold.poll(cx) {
                        Poll::Ready(verdict) => verdict,
                        Poll::Pending => {
                            ready!(run.poll_deadline(this.timer.as_mut(), cx));
                            match hold.goal {
                                Goal::Content => Verdict::Failed(AbandonReason::Timeout),
                                Goal::Usage => Verdict::Pass,
                            }
                        }
                    };
                    let Some(hold) = slot.take() else { return Poll::Pending };
                    run.on_verdict(hold, verdict)
                }
                StateProj::Wait { next } => {
                    let (Some(run), Some(waiting)) = (&mut *this.run, next.as_ref()) else {
                        return Poll::Pending;
                    };
                    if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                        ready!(timer.poll(cx));
                    }
                    // Another request may have failed meanwhile.
                    if let Some(until) = run.course.cools_until(waiting.entry) {
                        if run.course.may_wait_until(until) {
                            this.timer.set(Some(sleep_until(until)));
                            continue;
                        }
                        let (next, until) = run.replanned(until);
                        Step::Next(next, until)
                    } else {
                        let Some(mut next) = next.take() else { return Poll::Pending };
                        match run.course.permit(next.entry) {
                            Ok(Start::Now(permit)) => {
                                next.permit = permit;
                                Step::Next(State::Ready { next: Some(next) }, None)
                            }
                            Ok(Start::Queued(wait)) => {
                                Step::Next(State::Queue { wait, next: Some(next) }, None)
                            }
                            Ok(Start::At(_)) => continue,
                            Err(none) => Step::Next(run.rejected(none), None),
                        }
                    }
                }
                StateProj::Queue { wait, next } => {
                    let Some(run) = this.run else { return Poll::Pending };
                    let permit = ready!(Pin::new(wait).poll(cx));
                    let Some(mut next) = next.take() else { return Poll::Pending };
                    if permit.is_none() {
                        Step::Next(run.rejected(NoAttempt::Full), None)
                    } else if let Some(until) = run.course.cools_until(next.entry) {
                        let (next, until) = run.replanned(until);
                        Step::Next(next, until)
                    } else {
                        next.permit = permit;
                        Step::Next(State::Ready { next: Some(next) }, None)
                    }
                }
                StateProj::Ready { next } => {
                    let Some(run) = this.run else { return Poll::Pending };
                    let Some(inner) = &mut run.inner else { return Poll::Pending };
                    let ready = ready!(inner.poll_ready(cx));
                    let Some(next) = next.take() else { return Poll::Pending };
                    run.begin(next.entry, next.reached, next.permit, next.is_waited_for);
                    match (ready, &mut run.inner) {
                        (Ok(()), Some(inner)) => {
                            Step::Next(State::Call { future: inner.call(next.request) }, None)
                        }
                        (Err(error), _) => run.on_result(Err(error)),
                        (Ok(()), None) => return Poll::Pending,
                    }
                }
            };
            match step {
                Step::Next(next, until) => {
                    // Drops the attempt before a wait begins.
                    this.state.set(next);
                    this.timer.set(until.map(sleep_until));
                }
                Step::Done(outcome) => {
                    this.state.set(State::Reject { pending: None });
                    this.timer.set(None);
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
            State::Hold { .. } => "hold",
            State::Wait { .. } => "wait",
            State::Queue { .. } => "queue",
            State::Ready { .. } => "ready",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
