//! The choice among the targets of one request.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::time::Instant;
use tower::{
    retry::backoff::{Backoff as _, ExponentialBackoffMaker, MakeBackoff as _},
    util::rng::{HasherRng, Rng as _},
};

use super::{
    course::Course,
    entry::{Busy, EntryState},
    health::{Firmness, LONGEST},
    planned::{Admission, NoAttempt, Planned, Start},
    prepare::{Place, Prepared, Skip, prepare},
};
use crate::{load_limit::NoPermit, payload::Payload};

/// The shortest and the longest wait before a retry.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The part of a backoff that is added at random.
const JITTER: f64 = 0.99;
/// The waits for a model of one request, and the shortest of them. Their deadline ends them earlier.
const MAX_WAITS: u32 = 1_024;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The least and the most of the time that is added at random to a wait for a model: a tenth of the
/// wait within these bounds.
const SPREAD: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A search for the next target.
struct Search {
    /// The request of the client, for the target that is found first. Each other one gets a copy, which
    /// has no edits for a target before it.
    request: Option<Request<Payload>>,
    /// Whether a target has no permit at once.
    is_one_full: bool,
    /// Why a target has no place in its queue either.
    no_permit: Option<NoPermit>,
    skip: Option<Skip>,
}

impl Search {
    const fn new(request: Option<Request<Payload>>) -> Self {
        Self { request, is_one_full: false, no_permit: None, skip: None }
    }
}

impl Course {
    // === the choice ===

    /// Plans the next attempt.
    pub(super) fn plan(&mut self, request: Option<Request<Payload>>) -> Result<Planned, NoAttempt> {
        let now = Instant::now();
        let mut search = Search::new(request);
        let planned = self
            .retry_of_current(now, &mut search)
            .or_else(|| self.at_once(now, &mut search))
            .or_else(|| self.queued(now, &mut search))
            .or_else(|| self.retried(now, &mut search))
            .or_else(|| self.waiting(now, &mut search));
        planned.ok_or_else(|| self.no_attempt(&search))
    }

    /// Plans a first attempt at another target that can start at once.
    pub(super) fn plan_at_once(&mut self) -> Option<Planned> {
        if self.copy.is_none() || self.is_at_maximum() {
            return None;
        }
        self.at_once(Instant::now(), &mut Search::new(None))
    }

    /// Plans a first attempt at another target, at once or from its queue.
    pub(super) fn plan_elsewhere(&mut self) -> Option<Planned> {
        if self.copy.is_none() || self.is_at_maximum() {
            return None;
        }
        let now = Instant::now();
        let mut search = Search::new(None);
        self.at_once(now, &mut search).or_else(|| self.queued(now, &mut search))
    }

    /// Plans an attempt after a wait for a model, when no other one may follow.
    pub(super) fn waiting_alone(&mut self) -> Result<Planned, NoAttempt> {
        let mut search = Search::new(None);
        self.waiting(Instant::now(), &mut search).ok_or_else(|| self.no_attempt(&search))
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

    /// Plans a first attempt at a target that has a permit for it.
    fn at_once(&mut self, now: Instant, search: &mut Search) -> Option<Planned> {
        for is_avoided in [false, true] {
            for index in 0..self.entries.len() {
                if !self.is_untried(index, is_avoided, now) {
                    continue;
                }
                let admission =
                    if self.is_full(index) { Err(NoPermit::Full) } else { self.admit(index) };
                // A place in a queue is given back, because the next target may have a permit.
                let Ok(Admission::Now(permit)) = admission else {
                    search.is_one_full = true;
                    continue;
                };
                if let Some(prepared) = self.prepare(index, search) {
                    return Some(Planned::new(index, prepared, Start::Now(permit)));
                }
            }
        }
        None
    }

    /// Plans a first attempt from the queue of a full target.
    fn queued(&mut self, now: Instant, search: &mut Search) -> Option<Planned> {
        if !search.is_one_full {
            return None;
        }
        for is_avoided in [false, true] {
            for index in 0..self.entries.len() {
                if !self.is_untried(index, is_avoided, now) {
                    continue;
                }
                match self.admit(index) {
                    Ok(admission) => {
                        if let Some(prepared) = self.prepare(index, search) {
                            return Some(Planned::new(index, prepared, admission.into()));
                        }
                    }
                    // A share says more than a full target: another caller would get a place.
                    Err(NoPermit::Share) => search.no_permit = Some(NoPermit::Share),
                    Err(NoPermit::Full) => {
                        search.no_permit = search.no_permit.or(Some(NoPermit::Full));
                    }
                }
            }
        }
        None
    }

    /// Plans another attempt at a target that has failed before.
    fn retried(&mut self, now: Instant, search: &mut Search) -> Option<Planned> {
        (0..self.entries.len()).find_map(|index| self.retry(index, now, search))
    }

    fn retry(&mut self, index: usize, now: Instant, search: &mut Search) -> Option<Planned> {
        let entry = *self.entries.get(index)?;
        let is_left = entry.is_retried(self.settings.retries) && self.copy.is_some();
        if !is_left || self.waits_until(&entry, now).is_some() {
            return None;
        }
        if !self.settings.budget.withdraw() {
            tracing::debug!("the retry budget is used up");
            return None;
        }
        let prepared = self.prepare(index, search)?;
        let start = Start::At(self.next_backoff());
        Some(Planned::new(index, prepared, start))
    }

    /// Plans an attempt after the wait for a model, if that is configured.
    fn waiting(&mut self, now: Instant, search: &mut Search) -> Option<Planned> {
        let give_up = self.give_up.filter(|_| self.copy.is_some())?;
        if self.waits >= MAX_WAITS {
            return None;
        }
        let mut next: Option<(Instant, usize)> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(target) = self.target_of(entry) else { continue };
            let is_waited_for = entry.busy != Busy::No || entry.attempts == 0;
            if !is_waited_for || entry.state == EntryState::Closed {
                continue;
            }
            let until = self.waits_until(entry, now).or_else(|| {
                let soft = target.health.until(Firmness::Soft, now);
                match entry.busy {
                    Busy::No => None,
                    // A wait that is over ends now.
                    Busy::Timed => Some(soft.unwrap_or(now)),
                    Busy::Untimed => {
                        soft.or_else(|| now.checked_add(self.settings.cool_down.min(LONGEST)))
                    }
                }
            });
            if let Some(until) = until
                && until <= give_up
                && next.is_none_or(|(earliest, _)| until < earliest)
            {
                next = Some((until, index));
            }
        }
        let (until, index) = next?;
        let prepared = self.prepare(index, search)?;
        let until = now.checked_add(SHORTEST_WAIT).map_or(until, |soonest| until.max(soonest));
        let planned = Planned::new(index, prepared, Start::At(self.spread(until, now)));
        Some(Planned { is_waited_for: true, ..planned })
    }

    /// Returns a time after the end of a wait, at random and before the end of all waits. Requests that
    /// wait for one model would otherwise reach it in the same instant.
    pub(super) fn spread(&self, until: Instant, now: Instant) -> Instant {
        let (least, most) = SPREAD;
        let spread = (until.saturating_duration_since(now) / 10).clamp(least, most);
        let left = self.give_up.map(|give_up| give_up.saturating_duration_since(until));
        let spread = left.map_or(spread, |left| spread.min(left));
        until.checked_add(spread.mul_f64(HasherRng::new().next_f64())).unwrap_or(until)
    }

    // === one target ===

    /// Returns whether a target may have its first attempt by now. A target that is avoided cools down
    /// without a time that its upstream has named.
    fn is_untried(&self, index: usize, is_avoided: bool, now: Instant) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        let Some(target) = self.target_of(entry) else { return false };
        entry.is_first()
            && self.waits_until(entry, now).is_none()
            && target.health.until(Firmness::Soft, now).is_some() == is_avoided
    }

    fn is_full(&self, index: usize) -> bool {
        let target = self.entries.get(index).and_then(|entry| self.target_of(entry));
        target.is_some_and(|target| !target.has_permit())
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
                self.close(index);
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

    /// Returns why a search has found nothing.
    fn no_attempt(&self, search: &Search) -> NoAttempt {
        if let Some(reason) = search.no_permit {
            return NoAttempt::NoPermit(reason);
        }
        match self.shortest_wait() {
            Some(time) if self.attempts == 0 => NoAttempt::Cooling(time),
            _ => NoAttempt::None(search.skip),
        }
    }
}
