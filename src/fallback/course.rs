//! The attempts of one request: what follows a failure for the next ones, and what is recorded.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode};
use smallvec::SmallVec;
use tokio::time::Instant;
use tower::{
    retry::backoff::ExponentialBackoff,
    util::rng::{HasherRng, Rng as _},
};

use super::{
    entry::{Busy, Entry, EntryState},
    health::{Firmness, LONGEST},
    order::order,
    planned::{Admission, NoAttempt, Planned},
    prepare::Reached,
    retry_after::{retry_after, says_no_retry},
    settings::Settings,
    target::Target,
};
use crate::{
    context::{AbandonReason, Attempt, RequestContext, UpstreamState, Usage},
    load_limit::{Acquired, NoPermit},
    payload::Payload,
    replay::RequestCopy,
};

/// The longest time for which a request waits for a model.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// The targets of one request and the attempts so far.
pub(super) struct Course {
    pub(super) settings: Arc<Settings>,
    pub(super) targets: Arc<[Target]>,
    /// In the order of this request.
    pub(super) entries: SmallVec<[Entry; 4]>,
    pub(super) copy: Option<RequestCopy>,
    /// Why there is no copy, if a copy would allow another attempt.
    pub(super) once: Option<Once>,
    pub(super) context: RequestContext,
    pub(super) is_alias: bool,
    /// `None` before the first attempt.
    pub(super) current: Option<usize>,
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    /// The attempts that followed a wait for a model. They do not count into the maximum.
    pub(super) waits: u32,
    /// The end of the waits for a model.
    pub(super) give_up: Option<Instant>,
    pub(super) backoff: Option<ExponentialBackoff<HasherRng>>,
    pub(super) reached: Option<Reached>,
}

/// Why a request is sent once only.
#[derive(Clone, Copy, Debug)]
pub(super) enum Once {
    Streamed,
    Stateful,
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streamed => "its body is streamed; buffer it with PayloadLayer::new()",
            Self::Stateful => "it is not stateless inference",
        })
    }
}

/// A failed attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) reason: AbandonReason,
    pub(super) status: Option<StatusCode>,
    pub(super) usage: Option<Usage>,
}

/// The consequences of a failure.
#[derive(Clone, Copy)]
struct Finding {
    is_paused: bool,
    is_late: bool,
    says_no_retry: bool,
    /// Whether the rest of the group gets no attempt of the request.
    concerns_group: bool,
    /// Whether the failure concerns the token of this request alone.
    is_own: bool,
    /// Whether the request may wait for the model.
    is_waited_for: bool,
    /// The time that a busy upstream asks to wait.
    asked: Option<Duration>,
}

impl Course {
    /// Begins the course of a request.
    pub(super) fn new(
        settings: &Arc<Settings>,
        (targets, is_alias): (&Arc<[Target]>, bool),
        copy: Option<RequestCopy>,
        context: RequestContext,
    ) -> Self {
        let mut random: Option<HasherRng> = None;
        let mut order =
            order(targets, |total| random.get_or_insert_with(HasherRng::new).next_range(0..total));
        let max_attempts = if copy.is_some() {
            settings.max_attempts(targets)
        } else {
            // It goes to its first target once.
            order.truncate(1);
            1
        };
        if copy.is_some() && settings.retries > 0 {
            settings.budget.deposit();
        }
        Self {
            settings: Arc::clone(settings),
            targets: Arc::clone(targets),
            entries: order.into_iter().map(Entry::new).collect(),
            copy,
            once: None,
            context,
            is_alias,
            current: None,
            attempts: 0,
            max_attempts,
            waits: 0,
            give_up: settings
                .wait_for_model
                .and_then(|timeout| Instant::now().checked_add(timeout.min(LONGEST_WAIT))),
            backoff: None,
            reached: None,
        }
    }

    /// Chooses the target of the first attempt.
    pub(super) fn first(&mut self, request: Request<Payload>) -> Result<Planned, NoAttempt> {
        self.plan(Some(request))
    }

    /// Chooses the target of the next attempt after the current one has failed.
    pub(super) fn next(&mut self) -> Result<Planned, NoAttempt> {
        if self.is_at_maximum() {
            return self.waiting_alone();
        }
        self.plan(None)
    }

    pub(super) fn is_at_maximum(&self) -> bool {
        self.attempts.saturating_sub(self.waits) >= self.max_attempts
    }

    /// Returns whether another attempt may follow if the current one fails before its first content.
    pub(super) fn may_follow(&self) -> bool {
        if self.copy.is_none() || self.is_at_maximum() {
            return false;
        }
        let now = Instant::now();
        self.entries.iter().any(|entry| {
            let is_left = entry.is_first() || entry.is_retried(self.settings.retries);
            is_left
                && self.waits_until(entry, now).is_none()
                && self.target_of(entry).is_some_and(Target::has_place)
        })
    }

    /// Returns whether another target may take over while the current attempt is in flight, at once or
    /// later.
    pub(super) fn may_take_over(&self) -> bool {
        self.copy.is_some() && !self.is_at_maximum() && self.entries.iter().any(Entry::is_first)
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, planned: usize, reached: Option<Reached>, is_waited_for: bool) {
        self.current = Some(planned);
        self.attempts += 1;
        self.waits += u32::from(is_waited_for);
        self.context.begin_target(self.target().map(|target| &target.name));
        if let Some(entry) = self.entries.get_mut(planned) {
            entry.attempts = entry.attempts.saturating_add(1);
        }
        if let Some(reached) = &reached {
            self.context.set_target(reached.text.clone());
        }
        self.reached = reached;
        if let Some(target) = self.target() {
            Arc::clone(&target.stage).choose(&self.context);
        }
    }

    /// Returns the target of the current attempt.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target_of(self.entries.get(self.current?)?)
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Records that the current attempt has failed, for the choices of this and other requests.
    pub(super) fn fail(&mut self, failure: &Failure, headers: Option<&HeaderMap>) {
        let Some(current) = self.current else { return };
        let Some(target) = self.target().cloned() else { return };
        let max = self.settings.max_cool_down;
        let state = self.context.upstream_state();
        let is_limited = failure.status == Some(StatusCode::TOO_MANY_REQUESTS);
        let is_paused = state == Some(UpstreamState::Paused);
        let is_busy = failure.reason == AbandonReason::Status
            && !is_paused
            && (is_limited
                || failure.status == Some(StatusCode::SERVICE_UNAVAILABLE)
                || state == Some(UpstreamState::Starting));
        let asked = headers
            .filter(|_| is_busy)
            .and_then(|headers| retry_after(headers, max, &self.settings.clock));
        let finding = Finding {
            is_paused,
            is_late: failure.reason == AbandonReason::Timeout,
            says_no_retry: headers.is_some_and(says_no_retry),
            concerns_group: is_busy || failure.reason == AbandonReason::Unreachable,
            // A limit of one caller's token says nothing about others.
            is_own: is_limited && target.stage.tokens_differ(),
            is_waited_for: is_busy && (asked.is_some() || is_limited),
            asked,
        };
        self.cool_group(&target, finding);
        self.mark_entries(current, &target, finding);
    }

    /// Begins the cool-down of the group of a target that has failed.
    fn cool_group(&self, target: &Target, finding: Finding) {
        if finding.is_own {
            return;
        }
        let cools = finding.concerns_group || finding.is_paused || finding.is_late;
        let (firmness, time) = match finding.asked {
            Some(time) => (Firmness::Hard, time),
            None if cools => (Firmness::Soft, self.settings.cool_down),
            None => return,
        };
        let now = Instant::now();
        if let Some(until) = now.checked_add(time.min(LONGEST)) {
            target.health.cool(firmness, now, until);
        }
    }

    /// Marks the targets that this request tries no more or not yet.
    fn mark_entries(&mut self, current: usize, target: &Target, finding: Finding) {
        let again = finding.asked.and_then(|asked| Instant::now().checked_add(asked.min(LONGEST)));
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if index == current {
                entry.busy = match finding.asked {
                    _ if !finding.is_waited_for => Busy::No,
                    None if finding.is_own => Busy::Untimed,
                    _ => Busy::Timed,
                };
                if finding.is_paused || finding.says_no_retry {
                    entry.state = EntryState::Closed;
                }
            }
            let other = self.targets.get(usize::from(entry.target));
            if !other.is_some_and(|other| other.is_beside(target)) {
                continue;
            }
            if finding.concerns_group && entry.state == EntryState::Open {
                entry.state = EntryState::Stopped;
            }
            if finding.is_own {
                entry.again = again;
            }
        }
    }

    /// Records the current attempt as one that another attempt follows.
    pub(super) fn abandon(&self, failure: Failure) {
        let Some(target) = self.target() else { return };
        tracing::info!(
            target_name = %target.name,
            reason = ?failure.reason,
            status = failure.status.map(|status| status.as_u16()),
            "an attempt failed before any content; another one follows"
        );
        let mut attempt = Attempt::abandoned(Arc::clone(&target.name), failure.reason);
        (attempt.status, attempt.usage) = (failure.status, failure.usage);
        self.context.add_abandoned(attempt);
        self.context.forget_attempt();
    }

    /// Records that the current attempt serves the request.
    pub(super) fn serve(&self) {
        let Some(target) = self.target() else { return };
        let is_first = self.current == Some(0);
        // The client has named an alias, or the model that it gets.
        let is_named = self.is_alias || target.model.is_none() || self.is_the_named_model(target);
        if !(is_first && is_named) {
            self.context.set_fell_back();
        }
        // Rules have judged another model, so each other caller that gets the response asks its own.
        if let Some(reached) = &self.reached {
            match &reached.target {
                Some(target) => self.context.set_served(Arc::clone(target) as _),
                None => self.context.set_served(Arc::new(())),
            }
        }
    }

    /// Ends the cool-down of the current target, which has responded.
    pub(super) fn recover(&self) {
        if let Some(target) = self.target() {
            target.health.recover(Instant::now());
        }
    }

    fn is_the_named_model(&self, target: &Target) -> bool {
        let named = self.context.model();
        target.model.as_ref().is_some_and(|model| named == Some(&*model.name))
    }

    /// Returns the shortest time after which a target may be tried again.
    pub(super) fn shortest_wait(&self) -> Option<Duration> {
        let now = Instant::now();
        let waits = self.entries.iter().filter_map(|entry| self.waits_until(entry, now));
        waits.min().map(|until| until.saturating_duration_since(now))
    }

    /// Returns the end of the cool-down of a planned attempt, which another request began meanwhile.
    pub(super) fn cools_until(&self, entry: usize) -> Option<Instant> {
        self.waits_until(self.entries.get(entry)?, Instant::now())
    }

    /// Returns whether a request may wait for a model until then.
    pub(super) fn may_wait_until(&self, until: Instant) -> bool {
        self.give_up.is_some_and(|give_up| until <= give_up)
    }

    /// Plans another attempt in place of a planned one, or tells why there is none.
    pub(super) fn replan(&mut self, otherwise: NoAttempt) -> Result<Planned, NoAttempt> {
        let planned = if self.is_at_maximum() { self.waiting_alone() } else { self.plan(None) };
        planned.map_err(|none| match none {
            NoAttempt::None(_) => otherwise,
            other => other,
        })
    }

    /// Excludes a target from the rest of this request.
    pub(super) fn close(&mut self, entry: usize) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.state = EntryState::Closed;
        }
    }

    /// Takes a permit for an attempt, or a place in the queue of its target.
    pub(super) fn admit(&self, entry: usize) -> Result<Admission, NoPermit> {
        let target = self.entries.get(entry).and_then(|entry| self.target_of(entry));
        let Some(limit) = target.map(|target| &target.limit) else {
            return Ok(Admission::Now(None));
        };
        // Addresses are not known here: `UpstreamLayer` knows which proxies to believe.
        let identity = if limit.has_shares() { self.context.identity() } else { None };
        let caller = identity.map(|identity| limit.caller(identity.principal()));
        match limit.acquire(caller) {
            Acquired::Now(permit) => Ok(Admission::Now(Some(permit))),
            Acquired::Later(wait) => Ok(Admission::Queued(wait)),
            Acquired::Rejected(reason) => Err(reason),
        }
    }

    /// Returns the time before which an entry gets no attempt.
    pub(super) fn waits_until(&self, entry: &Entry, now: Instant) -> Option<Instant> {
        let hard = self.target_of(entry)?.health.until(Firmness::Hard, now);
        let own = entry.again.filter(|again| *again > now);
        hard.or(own)
    }

    pub(super) fn target_of(&self, entry: &Entry) -> Option<&Target> {
        self.targets.get(usize::from(entry.target))
    }
}
