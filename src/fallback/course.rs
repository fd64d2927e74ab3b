//! The choice among the targets of one request.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode};
use smallvec::SmallVec;
use tokio::time::Instant;
use tower::{
    retry::{
        backoff::{Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff as _},
        budget::Budget as _,
    },
    util::rng::{HasherRng, Rng as _},
};

use super::{
    health::Firmness,
    order::order,
    prepare::{Place, Prepared, Reached, Skip, prepare},
    retry_after::retry_after,
    settings::Settings,
    target::Target,
};
use crate::{
    context::{AbandonReason, AbandonedAttempt, RequestContext, UpstreamState, Usage},
    load_limit::{Acquired, LoadPermit, LoadWait},
    payload::Payload,
    replay::RequestCopy,
};

/// The shortest and the longest wait before a retry.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The waits for a model of one request, and the shortest of them. Their deadline ends them earlier.
const MAX_WAITS: u32 = 1_024;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The part of a wait that is added at random.
const JITTER: f64 = 0.99;

/// The targets of one request and the attempts so far.
pub(super) struct Course {
    pub(super) settings: Arc<Settings>,
    targets: Arc<[Target]>,
    /// In the order of this request.
    entries: SmallVec<[Entry; 4]>,
    copy: Option<RequestCopy>,
    /// Why there is no copy, if a copy would allow another attempt.
    pub(super) once: Option<Once>,
    pub(super) context: RequestContext,
    is_alias: bool,
    /// `None` before the first attempt.
    current: Option<usize>,
    attempts: u32,
    max_attempts: u32,
    /// The attempts that followed a wait for a model. They do not count into the maximum.
    waits: u32,
    /// The end of the waits for a model.
    give_up: Option<Instant>,
    backoff: Option<ExponentialBackoff<HasherRng>>,
    reached: Option<Reached>,
}

/// A target in the order of a request.
#[derive(Clone, Copy, Debug)]
struct Entry {
    target: u16,
    attempts: u16,
    state: EntryState,
    /// The time before which this request makes no further attempt there.
    again: Option<Instant>,
    /// Whether the last failure says that the model loads or is busy.
    is_busy: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EntryState {
    Open,
    /// A member of its group failed in a way that concerns all.
    Stopped,
    /// The request does not fit.
    Skipped,
}

/// The next attempt.
pub(super) struct Planned {
    pub(super) entry: usize,
    pub(super) request: Request<Payload>,
    pub(super) reached: Option<Reached>,
    pub(super) start: Start,
}

pub(super) enum Start {
    Now(Option<LoadPermit>),
    Queued(LoadWait),
    At(Instant),
}

/// Why there is no next attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoAttempt {
    /// All queues are full.
    Full,
    /// All targets cool down, for this long at least.
    Cooling(Duration),
    /// No target is left. Tells why one was skipped.
    None(Option<Skip>),
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
            settings.budget.0.deposit();
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
            give_up: settings.wait_for_model.and_then(|timeout| {
                // A day is for ever.
                Instant::now().checked_add(timeout.min(Duration::from_secs(86_400)))
            }),
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

    fn is_at_maximum(&self) -> bool {
        self.attempts.saturating_sub(self.waits) >= self.max_attempts
    }

    /// Plans an attempt after a wait for a model, when no other one may follow.
    fn waiting_alone(&mut self) -> Result<Planned, NoAttempt> {
        let mut search = Search { request: None, full: None, skip: None };
        self.waiting(Instant::now(), &mut search, NoAttempt::None(None))
    }

    /// Returns whether another attempt may follow if the current one fails before its first content.
    pub(super) fn may_follow(&self) -> bool {
        if self.copy.is_none() || self.is_at_maximum() {
            return false;
        }
        let now = Instant::now();
        self.entries.iter().any(|entry| {
            let is_left = entry.attempts == 0 && entry.state == EntryState::Open
                || entry.attempts > 0 && u32::from(entry.attempts) <= self.settings.retries;
            is_left && self.waits_until(entry, now).is_none()
        })
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, planned: usize, reached: Option<Reached>) {
        self.current = Some(planned);
        self.attempts += 1;
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
        let now = Instant::now();
        let after = |time: Duration| now.checked_add(time);
        let max = self.settings.max_cool_down;
        let asked = headers.and_then(|headers| retry_after(headers, max));
        let state = self.context.upstream_state();
        let is_paused = state == Some(UpstreamState::Paused);
        let is_busy = (state == Some(UpstreamState::Starting)
            || matches!(
                failure.status,
                Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            ))
            && failure.reason == AbandonReason::Status
            && !is_paused;
        let stops = is_busy || failure.reason == AbandonReason::Unreachable;
        // A limit of one caller's token says nothing about others.
        let is_own =
            failure.status == Some(StatusCode::TOO_MANY_REQUESTS) && target.stage.tokens_differ();
        let soft = after(self.settings.cool_down);
        let again = if is_busy { asked.map(after) } else { None };
        if !is_own {
            match again {
                Some(Some(until)) => target.health.cool(Firmness::Hard, now, until),
                _ if stops || is_paused || failure.reason == AbandonReason::Timeout => {
                    if let Some(until) = soft {
                        target.health.cool(Firmness::Soft, now, until);
                    }
                }
                _ => {}
            }
        }
        let waits =
            is_busy && (asked.is_some() || failure.status == Some(StatusCode::TOO_MANY_REQUESTS));
        for index in 0..self.entries.len() {
            let is_beside = self
                .entries
                .get(index)
                .and_then(|entry| self.target_of(entry))
                .is_some_and(|other| other.is_beside(&target));
            let Some(entry) = self.entries.get_mut(index) else { continue };
            if index == current {
                entry.is_busy = waits;
                if is_paused {
                    entry.state = EntryState::Skipped;
                }
            }
            if stops && is_beside && entry.state == EntryState::Open {
                entry.state = EntryState::Stopped;
            }
            if is_own && is_beside {
                entry.again = again.flatten();
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
        let mut attempt = AbandonedAttempt::new(Arc::clone(&target.name), failure.reason);
        (attempt.status, attempt.usage) = (failure.status, failure.usage);
        self.context.add_abandoned(attempt);
        self.context.forget_attempt();
    }

    /// Records that the current attempt serves the request.
    pub(super) fn serve(&self) {
        let Some(target) = self.target() else { return };
        target.health.recover();
        let is_first = self.current == Some(0);
        // The client has named an alias, or the model that it gets.
        let is_named = self.is_alias || target.model.is_none() || self.is_the_named_model(target);
        if !(is_first && is_named) {
            self.context.set_fell_back();
            let served = self.reached.as_ref().and_then(|reached| reached.target.clone());
            self.context.set_served(served.map(|target| target as _));
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

    /// Returns whether the target of a planned attempt cools down by now, since another request failed.
    pub(super) fn still_waits(&self, entry: usize) -> Option<Instant> {
        let now = Instant::now();
        let until = self.waits_until(self.entries.get(entry)?, now)?;
        // No longer than the wait for a model, after which the attempt decides.
        self.give_up.filter(|give_up| until <= *give_up).map(|_| until)
    }

    /// Takes a permit for an attempt that has waited.
    pub(super) fn permit(&self, entry: usize) -> Result<Start, NoAttempt> {
        match self.entries.get(entry).and_then(|entry| self.target_of(entry)) {
            Some(target) => acquire(target),
            None => Err(NoAttempt::None(None)),
        }
    }

    // === the choice ===

    fn plan(&mut self, request: Option<Request<Payload>>) -> Result<Planned, NoAttempt> {
        let now = Instant::now();
        let mut search = Search { request, full: None, skip: None };
        if let Some(planned) = self.retry_of_current(now, &mut search) {
            return Ok(planned);
        }
        for is_soft in [false, true] {
            for index in 0..self.entries.len() {
                let Some(entry) = self.entries.get(index) else { continue };
                let Some(target) = self.target_of(entry) else { continue };
                let is_left = entry.attempts == 0 && entry.state == EntryState::Open;
                if !is_left || self.waits_until(entry, now).is_some() {
                    continue;
                }
                if target.health.until(Firmness::Soft, now).is_some() != is_soft {
                    continue;
                }
                if target.is_full() {
                    search.full = search.full.or(Some(index));
                    continue;
                }
                if let Some(prepared) = self.prepare(index, &mut search) {
                    match self.permit(index) {
                        Ok(start) => return Ok(Planned::new(index, prepared, start)),
                        // Another request was quicker.
                        Err(_) => {
                            search.full = search.full.or(Some(index));
                            search.request = Some(prepared.request);
                        }
                    }
                }
            }
        }
        self.queued(&mut search).unwrap_or_else(|| {
            self.retried(now, &mut search).or_else(|none| self.waiting(now, &mut search, none))
        })
    }

    /// Plans another attempt at the target that has just failed, unless its group is stopped.
    fn retry_of_current(&mut self, now: Instant, search: &mut Search) -> Option<Planned> {
        let current = self.current?;
        let entry = *self.entries.get(current)?;
        let cools = self.target()?.health.until(Firmness::Soft, now).is_some();
        if cools || entry.state != EntryState::Open {
            None
        } else {
            self.retry(current, now, search)
        }
    }

    /// Plans a place in the queue of the first choice among full targets.
    fn queued(&mut self, search: &mut Search) -> Option<Result<Planned, NoAttempt>> {
        let full = search.full?;
        let mut rejected = None;
        // The first choice comes first, then the others.
        for index in full..self.entries.len() {
            let Some(entry) = self.entries.get(index) else { continue };
            let Some(target) = self.target_of(entry) else { continue };
            if entry.attempts > 0 || entry.state != EntryState::Open || !target.is_full() {
                continue;
            }
            let Some(prepared) = self.prepare(index, search) else { continue };
            match self.permit(index) {
                Ok(start) => return Some(Ok(Planned::new(index, prepared, start))),
                Err(error) => {
                    rejected = Some(Err(error));
                    search.request = Some(prepared.request);
                }
            }
            break;
        }
        rejected
    }

    /// Plans another attempt at a target that has failed before.
    fn retried(&mut self, now: Instant, search: &mut Search) -> Result<Planned, NoAttempt> {
        for index in 0..self.entries.len() {
            if let Some(planned) = self.retry(index, now, search) {
                return Ok(planned);
            }
        }
        Err(NoAttempt::None(search.skip))
    }

    fn retry(&mut self, index: usize, now: Instant, search: &mut Search) -> Option<Planned> {
        let entry = *self.entries.get(index)?;
        let is_left = entry.attempts > 0
            && u32::from(entry.attempts) <= self.settings.retries
            && entry.state != EntryState::Skipped;
        if !is_left || self.waits_until(&entry, now).is_some() {
            return None;
        }
        let prepared = self.prepare(index, search)?;
        if !self.settings.budget.0.withdraw() {
            tracing::debug!("the retry budget is used up");
            search.request = Some(prepared.request);
            return None;
        }
        let start = Start::At(self.next_backoff());
        Some(Planned::new(index, prepared, start))
    }

    /// Plans an attempt after the wait for a model, if that is configured.
    fn waiting(
        &mut self,
        now: Instant,
        search: &mut Search,
        otherwise: NoAttempt,
    ) -> Result<Planned, NoAttempt> {
        let cooling = self.shortest_wait();
        let otherwise = match cooling {
            Some(time) if self.attempts == 0 => NoAttempt::Cooling(time),
            _ => otherwise,
        };
        let Some(give_up) = self.give_up.filter(|_| self.copy.is_some()) else {
            return Err(otherwise);
        };
        let mut next: Option<(Instant, usize)> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(target) = self.target_of(entry) else { continue };
            let is_waited_for = entry.is_busy || entry.attempts == 0;
            if !is_waited_for || entry.state == EntryState::Skipped {
                continue;
            }
            let until = self.waits_until(entry, now).or_else(|| {
                // A 429 without a time.
                let soft = target.health.until(Firmness::Soft, now);
                entry.is_busy.then(|| soft.or_else(|| now.checked_add(self.settings.cool_down)))?
            });
            if let Some(until) = until
                && until <= give_up
                && next.is_none_or(|(earliest, _)| until < earliest)
            {
                next = Some((until, index));
            }
        }
        let Some((until, index)) = next else { return Err(otherwise) };
        if self.waits >= MAX_WAITS {
            return Err(otherwise);
        }
        let prepared = self.prepare(index, search).ok_or(otherwise)?;
        self.waits += 1;
        let until = now.checked_add(SHORTEST_WAIT).map_or(until, |soonest| until.max(soonest));
        Ok(Planned::new(index, prepared, Start::At(until)))
    }

    /// Prepares the request for a target. `None` closes the target.
    fn prepare(&mut self, index: usize, search: &mut Search) -> Option<Prepared> {
        let request = match search.request.take() {
            Some(request) => request,
            None => self.copy.as_ref()?.request()?,
        };
        let targets = Arc::clone(&self.targets);
        let target = targets.get(usize::from(self.entries.get(index)?.target))?;
        let place = if index == 0 { Place::First } else { Place::Later };
        match prepare(request, target, place, &self.settings.members, &self.context) {
            Ok(prepared) => Some(prepared),
            Err(skip) => {
                tracing::info!(target_name = %target.name, reason = %skip, "a target is skipped");
                search.skip = search.skip.max(Some(skip));
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.state = EntryState::Skipped;
                }
                None
            }
        }
    }

    fn next_backoff(&mut self) -> Instant {
        let backoff = self.backoff.get_or_insert_with(|| {
            let (min, max) = BACKOFF;
            let maker = ExponentialBackoffMaker::new(min, max, JITTER, HasherRng::new());
            maker.unwrap_or_default().make_backoff()
        });
        backoff.next_backoff().deadline()
    }

    /// Returns the time before which an entry gets no attempt.
    fn waits_until(&self, entry: &Entry, now: Instant) -> Option<Instant> {
        let hard = self.target_of(entry)?.health.until(Firmness::Hard, now);
        let own = entry.again.filter(|again| *again > now);
        hard.or(own)
    }

    fn target_of(&self, entry: &Entry) -> Option<&Target> {
        self.targets.get(usize::from(entry.target))
    }
}

/// What a search for the next target has found so far.
struct Search {
    // Taken by the first target. The next ones get copies.
    request: Option<Request<Payload>>,
    full: Option<usize>,
    skip: Option<Skip>,
}

impl Entry {
    const fn new(target: u16) -> Self {
        Self { target, attempts: 0, state: EntryState::Open, again: None, is_busy: false }
    }
}

impl Planned {
    fn new(entry: usize, prepared: Prepared, start: Start) -> Self {
        let Prepared { request, reached } = prepared;
        Self { entry, request, reached, start }
    }
}

fn acquire(target: &Target) -> Result<Start, NoAttempt> {
    let Some(limit) = &target.limit else { return Ok(Start::Now(None)) };
    match limit.acquire(None) {
        Acquired::Now(permit) => Ok(Start::Now(Some(permit))),
        Acquired::Later(wait) => Ok(Start::Queued(wait)),
        Acquired::Rejected(_) => Err(NoAttempt::Full),
    }
}
