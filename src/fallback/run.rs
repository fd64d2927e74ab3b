//! The states of a request with several attempts, and what follows each of them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    body::ResponseBody,
    course::{Course, Failure},
    hold::{Goal, Hold, Verdict},
    planned::{NoAttempt, Planned, Start},
    prepare::{Reached, Skip},
    retry_after::set_retry_after,
};
use crate::{
    context::{AbandonReason, RequestContext, UpstreamState},
    load_limit::{LoadPermit, LoadWait, NoPermit},
    payload::Payload,
    rejection::{PendingRejection, Refusal, Rejection, Responder},
    tap::Preview,
};

const X_INFERENCE_TARGET: HeaderName = HeaderName::from_static("x-inference-target");

/// How long the body of a failure may take. It is read for its usage alone.
const FAILED_BODY_TIMEOUT: Duration = Duration::from_millis(250);

/// The time between two looks for a target that can take over from a late attempt.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pin_project! {
    #[project = StateProj]
    pub(super) enum State<F> {
        Pass { #[pin] future: F },
        // `None` after completion.
        Reject { pending: Option<Box<PendingRejection>> },
        Call { #[pin] future: F },
        // Reads the beginning of a response, which is beside the run.
        Hold,
        // Waits for the timer. Boxed, as the others, because few requests wait.
        Wait { next: Option<Box<NextAttempt>> },
        // Waits for a permit of the target.
        Queue { wait: LoadWait, next: Option<Box<NextAttempt>> },
        // Waits for the inner service.
        Ready { next: Option<Box<NextAttempt>> },
    }
}

/// A request with several attempts.
pub(super) struct Run<S> {
    pub(super) course: Course,
    /// The instance that is cloned for each later attempt. `None` when there is one attempt alone.
    pub(super) inner: Option<S>,
    /// The instance of the next attempt, while it becomes ready. Boxed, because few requests wait for it.
    pub(super) next: Option<Box<S>>,
    pub(super) responder: Responder,
    /// The permit of the attempt in flight.
    pub(super) permit: Option<LoadPermit>,
    is_for_head: bool,
    /// Whether another target may take over from the attempt in flight after its deadline.
    pub(super) is_bounded: bool,
    /// The deadline of the attempt in flight, once it is known.
    deadline: Option<Instant>,
    /// Whether the deadline has passed.
    is_late: bool,
}

pin_project! {
    /// The large part of the future. Boxed, because the future is moved through every layer.
    #[project = RunProj]
    pub(super) struct RunAndHold<S, R, E> {
        pub(super) run: Run<S>,
        // The response whose beginning is read.
        pub(super) hold: Option<Hold<R, E>>,
        // The deadline of the attempt in flight, or the wait before the next one.
        #[pin]
        pub(super) timer: Option<Sleep>,
    }
}

/// The request of an attempt that has not begun.
pub(super) struct NextAttempt {
    pub(super) entry: usize,
    pub(super) request: Request<Payload>,
    pub(super) reached: Option<Reached>,
    pub(super) permit: Option<LoadPermit>,
    pub(super) is_waited_for: bool,
}

/// The outcome of a step.
#[expect(clippy::large_enum_variant, reason = "a step is moved once, and a box is an allocation")]
pub(super) enum Step<F, R, E, T> {
    Next(State<F>, Option<Instant>),
    /// Reads the beginning of a response until then.
    Hold(Hold<R, E>, Option<Instant>),
    Done(T),
}

/// A state and the end of its wait.
pub(super) type Timed<S> = (S, Option<Instant>);
pub(super) type Outcome<R, E> = Result<Response<ResponseBody<R, <R as Body>::Error>>, E>;
pub(super) type StepOf<F, R, E> = Step<F, R, <R as Body>::Error, Outcome<R, E>>;

impl<S> Run<S> {
    pub(super) fn new(
        course: Course,
        (inner, next): (Option<S>, Option<Box<S>>),
        responder: Responder,
        is_for_head: bool,
    ) -> Self {
        let (permit, is_bounded, deadline, is_late) = (None, true, None, false);
        Self { course, inner, next, responder, permit, is_for_head, is_bounded, deadline, is_late }
    }

    /// Begins an attempt.
    pub(super) fn begin(
        &mut self,
        entry: usize,
        reached: Option<Reached>,
        permit: Option<LoadPermit>,
        is_waited_for: bool,
    ) {
        self.permit = permit;
        (self.is_bounded, self.deadline, self.is_late) = (true, None, false);
        self.course.begin(entry, reached, is_waited_for);
    }

    /// Makes an instance ready for the next attempt.
    pub(super) fn poll_ready<B>(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<S>, S::Error>>
    where
        S: Service<Request<B>> + Clone,
    {
        let mut next = match (self.next.take(), &self.inner) {
            (Some(next), _) => next,
            (None, Some(inner)) => Box::new(inner.clone()),
            (None, None) => return Poll::Pending,
        };
        match next.poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(next)),
            // An instance that has failed is discarded:
            // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#tymethod.poll_ready
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.next = Some(next);
                Poll::Pending
            }
        }
    }

    /// Waits for the deadline of an attempt while another target may take over.
    pub(super) fn poll_deadline(
        &mut self,
        mut timer: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if timer.is_none() {
            if !self.is_bounded {
                return Poll::Pending;
            }
            if !self.course.may_take_over() {
                self.is_bounded = false;
                // A response with this deadline may be held back for a retry.
                if self.course.may_follow() {
                    self.content_deadline();
                }
                return Poll::Pending;
            }
            timer.set(self.content_deadline().map(sleep_until));
        }
        match timer.as_pin_mut() {
            Some(timer) => timer.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Abandons the attempt in flight, which is late, if another target can start at once.
    pub(super) fn after_late<F>(&mut self, failure: Failure) -> Option<Timed<State<F>>> {
        if !self.is_late {
            self.is_late = true;
            self.course.fail(&failure, None);
        }
        let planned = self.course.plan_at_once()?;
        Some(self.abandon(failure, planned))
    }

    /// Returns when to look again for a target that can take over from a late attempt.
    pub(super) fn next_look(&mut self) -> Option<Instant> {
        self.is_bounded = self.course.may_take_over();
        if self.is_bounded { Instant::now().checked_add(LOOK_AGAIN) } else { None }
    }

    /// Decides on the result of a call.
    pub(super) fn on_result<F, R, E>(&mut self, result: Result<Response<R>, E>) -> StepOf<F, R, E>
    where
        R: Body<Data = Bytes> + Unpin,
    {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let failure = Failure::of(AbandonReason::Unreachable);
                return match self.after(failure, None) {
                    Ok((next, until)) => Step::Next(next, until),
                    Err(_) => {
                        self.warn_if_all_failed();
                        Step::Done(Err(error))
                    }
                };
            }
        };
        let Some(mut failure) = self.failure_of(&response) else {
            let has_body = !self.is_for_head
                && response.status() != StatusCode::NO_CONTENT
                && !response.body().is_end_stream();
            if response.status().is_success() && has_body && self.course.may_follow() {
                let preview = Preview::new(response.headers());
                let hold = Hold::new(response, preview, Goal::Content);
                return Step::Hold(hold, self.content_deadline());
            }
            return Step::Done(Ok(self.serve(response.map(ResponseBody::passed), true)));
        };
        let preview = Preview::new(response.headers());
        failure.usage = preview.usage();
        let reports = preview.reads_body()
            && failure.reason == AbandonReason::Status
            && !response.body().is_end_stream();
        if reports && self.course.may_follow() {
            let hold = Hold::new(response, preview, Goal::Usage);
            return Step::Hold(hold, Instant::now().checked_add(FAILED_BODY_TIMEOUT));
        }
        match self.after(failure, Some(response.headers())) {
            Ok((next, until)) => Step::Next(next, until),
            Err(_) => Step::Done(Ok(self.serve(response.map(ResponseBody::passed), false))),
        }
    }

    /// Decides on a response whose beginning was read.
    pub(super) fn on_verdict<F, R, E>(
        &mut self,
        hold: Hold<R, R::Error>,
        verdict: Verdict,
    ) -> StepOf<F, R, E>
    where
        R: Body<Data = Bytes>,
    {
        let (failure, is_served) = match (hold.goal, verdict) {
            (Goal::Content, Verdict::Pass) => {
                return Step::Done(Ok(self.serve(hold.into_response(), true)));
            }
            (Goal::Content, Verdict::Late) => {
                let reason = AbandonReason::Timeout;
                let status = Some(hold.head().status);
                return match self.after_late(Failure { reason, status, usage: hold.usage() }) {
                    Some((next, until)) => Step::Next(next, until),
                    // It is held back no longer, because the hold has the same deadline.
                    None => Step::Done(Ok(self.serve(hold.into_response(), true))),
                };
            }
            (Goal::Content, Verdict::Failed(reason)) => {
                let status = Some(hold.head().status);
                (Failure { reason, status, usage: hold.usage() }, true)
            }
            (Goal::Usage, _) => {
                let (reason, status) = (AbandonReason::Status, Some(hold.head().status));
                (Failure { reason, status, usage: hold.usage() }, false)
            }
        };
        match self.after(failure, Some(&hold.head().headers)) {
            Ok((next, until)) => Step::Next(next, until),
            Err(_) => Step::Done(Ok(self.serve(hold.into_response(), is_served))),
        }
    }

    /// Returns why another attempt should follow a response. `None` for the response of the client.
    fn failure_of<R>(&self, response: &Response<R>) -> Option<Failure> {
        let status = response.status();
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            let reason = match rejection.refusal() {
                Refusal::UpstreamTimeout => AbandonReason::Timeout,
                Refusal::UpstreamUnavailable if self.token_was_rejected() => {
                    AbandonReason::TokenRejected
                }
                Refusal::UpstreamUnavailable => AbandonReason::Unreachable,
                // The gateway itself has too much to do, whichever target comes next.
                Refusal::Overloaded | Refusal::Throttled => return None,
                _ => AbandonReason::Status,
            };
            return status.is_server_error().then_some(Failure {
                reason,
                status: None,
                usage: None,
            });
        }
        // A paused endpoint responds with 400, which is no fault of the request.
        let is_paused = self.course.context.upstream_state() == Some(UpstreamState::Paused);
        let failed =
            status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || is_paused;
        failed.then_some(Failure {
            reason: AbandonReason::Status,
            status: Some(status),
            usage: None,
        })
    }

    fn token_was_rejected(&self) -> bool {
        let status = self.course.context.upstream_status();
        matches!(status, Some(StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED))
    }

    /// Returns the deadline of the first content, which counts from the call.
    fn content_deadline(&mut self) -> Option<Instant> {
        let timeout = self.course.settings.first_content_timeout;
        self.deadline = self.deadline.or_else(|| Instant::now().checked_add(timeout));
        self.deadline
    }

    /// Abandons the attempt in flight if another one can follow, and returns the state of that one.
    pub(super) fn after<F>(
        &mut self,
        failure: Failure,
        headers: Option<&http::HeaderMap>,
    ) -> Result<Timed<State<F>>, NoAttempt> {
        self.course.fail(&failure, headers);
        let planned = self.course.next()?;
        Ok(self.abandon(failure, planned))
    }

    fn abandon<F>(&mut self, failure: Failure, planned: Planned) -> Timed<State<F>> {
        self.course.abandon(failure);
        self.permit = None;
        planned.into_state()
    }

    /// Returns the response of the current attempt as the client gets it.
    fn serve<R: Body<Data = Bytes>, E>(
        &mut self,
        mut response: Response<ResponseBody<R, E>>,
        is_served: bool,
    ) -> Response<ResponseBody<R, E>> {
        let course = &self.course;
        if is_served {
            course.serve();
            // A rejection of the gateway says nothing about the target.
            if response.extensions().get::<Rejection>().is_none() {
                course.recover();
            }
        } else {
            if let Some(wait) = course.shortest_wait() {
                set_retry_after(response.headers_mut(), wait);
            }
            self.warn_if_all_failed();
        }
        if course.settings.target_header {
            // A header of another gateway names none of these targets.
            match course.target().and_then(|target| target.header.clone()) {
                Some(value) => response.headers_mut().insert(X_INFERENCE_TARGET, value),
                None => response.headers_mut().remove(X_INFERENCE_TARGET),
            };
        }
        let bodiless =
            self.is_for_head || matches!(response.status().as_u16(), 100..200 | 204 | 304);
        let permit = self.permit.take();
        response.map(|body| body.with_permit(permit, !bodiless))
    }

    /// Returns the state in place of a planned attempt whose target cools down by now: an attempt at
    /// another target, or else a longer wait.
    pub(super) fn cooled<F>(&mut self, next: Box<NextAttempt>, until: Instant) -> Timed<State<F>> {
        if let Some(planned) = self.course.plan_elsewhere() {
            return planned.into_state();
        }
        let now = Instant::now();
        if self.course.may_wait_until(until) {
            let until = self.course.spread(until, now);
            return (State::Wait { next: Some(next) }, Some(until));
        }
        self.replanned(NoAttempt::Cooling(until.saturating_duration_since(now)))
    }

    /// Returns the state in place of a planned attempt whose target has no place for it.
    pub(super) fn refused<F>(&mut self, entry: usize, reason: NoPermit) -> Timed<State<F>> {
        // Not tried again, so that the request does not go round in circles.
        self.course.close(entry);
        self.replanned(NoAttempt::NoPermit(reason))
    }

    fn replanned<F>(&mut self, otherwise: NoAttempt) -> Timed<State<F>> {
        match self.course.replan(otherwise) {
            Ok(planned) => planned.into_state(),
            Err(none) => {
                let context = self.course.context.clone();
                let pending = self.responder.pending(rejection(none, &context), context);
                (State::Reject { pending: Some(Box::new(pending)) }, None)
            }
        }
    }

    fn warn_if_all_failed(&self) {
        if self.course.attempts() > 1 {
            tracing::warn!(
                attempts = self.course.attempts(),
                "all attempts of a request failed; the client gets the last failure"
            );
        } else if let Some(reason) = self.course.once {
            tracing::info!(%reason, "an attempt failed, and the request is not repeated");
        }
    }
}

impl Planned {
    /// Returns the state before the attempt, and the end of its wait.
    pub(super) fn into_state<F>(self) -> (State<F>, Option<Instant>) {
        let Self { entry, request, reached, start, is_waited_for } = self;
        let next =
            |permit| Some(Box::new(NextAttempt { entry, request, reached, permit, is_waited_for }));
        match start {
            Start::Now(permit) => (State::Ready { next: next(permit) }, None),
            Start::Queued(wait) => (State::Queue { wait, next: next(None) }, None),
            Start::At(until) => (State::Wait { next: next(None) }, Some(until)),
        }
    }
}

impl Failure {
    pub(super) const fn of(reason: AbandonReason) -> Self {
        Self { reason, status: None, usage: None }
    }
}

/// Returns the rejection of a request without an attempt.
pub(super) fn rejection(none: NoAttempt, context: &RequestContext) -> Rejection {
    match none {
        NoAttempt::NoPermit(NoPermit::Share) => {
            context.set_limited_by(Arc::from("caller-share"));
            Rejection::new(Refusal::Throttled)
                .with_detail("too many requests of this caller are in flight: wait until one ends")
                .with_retry_after(Duration::from_secs(1))
        }
        NoAttempt::NoPermit(NoPermit::Full) => Rejection::new(Refusal::Overloaded)
            .with_detail("too many requests wait for the model: try again later")
            .with_retry_after(Duration::from_secs(1)),
        NoAttempt::Cooling(time) => Rejection::new(Refusal::Overloaded)
            .with_detail("every upstream of the model has asked to wait: try again later")
            .with_retry_after(time),
        NoAttempt::None(Some(Skip::Rules)) => Rejection::new(Refusal::Forbidden)
            .with_detail("this model or its provider is not allowed"),
        NoAttempt::None(Some(Skip::Memory)) => {
            Rejection::new(Refusal::Overloaded).with_retry_after(Duration::from_secs(1))
        }
        NoAttempt::None(_) => Rejection::new(Refusal::Misconfigured)
            .with_detail("no upstream of the model takes a request of this form"),
    }
}
