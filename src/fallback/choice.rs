//! The choice among the targets of one request.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::time::Instant;
use tower::{
    retry::{
        backoff::{Backoff as _, ExponentialBackoffMaker, MakeBackoff as _},
        budget::Budget as _,
    },
    util::rng::HasherRng,
};

use super::{
    course::Course,
    entry::EntryState,
    health::{Firmness, LONGEST},
    planned::{NoAttempt, Planned, Start},
    prepare::{Place, Prepared, Skip, prepare},
};
use crate::payload::Payload;

/// The shortest and the longest wait before a retry.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The waits for a model of one request, and the shortest of them. Their deadline ends them earlier.
const MAX_WAITS: u32 = 1_024;
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The part of a wait that is added at random.
const JITTER: f64 = 0.99;

/// What a search for the next target has found so far.
struct Search {
    // Taken by the first target. The next ones get copies.
    request: Option<Request<Payload>>,
    full: Option<usize>,
    skip: Option<Skip>,
}

impl Course {
    // === the choice ===

    pub(super) fn plan(&mut self, request: Option<Request<Payload>>) -> Result<Planned, NoAttempt> {
        let now = Instant::now();
        let mut search = Search { request, full: None, skip: None };
        if let Some(planned) = self.retry_of_current(now, &mut search) {
            return Ok(planned);
        }
        for is_soft in [false, true] {
            for index in 0..self.entries.len() {
                let Some(entry) = self.entries.get(index) else { continue };
                let Some(target) = self.target_of(entry) else { continue };
                if !entry.is_first() || self.waits_until(entry, now).is_some() {
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
        let now = Instant::now();
        // The first choice, or the next one if the request does not fit it. One that was full may be free
        // by now.
        for index in full..self.entries.len() {
            let Some(entry) = self.entries.get(index) else { continue };
            if !entry.is_first() || self.waits_until(entry, now).is_some() {
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
        if !entry.is_retried(self.settings.retries) || self.waits_until(&entry, now).is_some() {
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
            if !is_waited_for || entry.state == EntryState::Closed {
                continue;
            }
            let until = self.waits_until(entry, now).or_else(|| {
                // A 429 without a time.
                let soft = target.health.until(Firmness::Soft, now);
                let time = self.settings.cool_down.min(LONGEST);
                entry.is_busy.then(|| soft.or_else(|| now.checked_add(time)))?
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
        let until = now.checked_add(SHORTEST_WAIT).map_or(until, |soonest| until.max(soonest));
        let planned = Planned::new(index, prepared, Start::At(until));
        Ok(Planned { is_waited_for: true, ..planned })
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
                    entry.state = EntryState::Closed;
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

    /// Plans an attempt after a wait for a model, when no other one may follow.
    pub(super) fn waiting_alone(&mut self) -> Result<Planned, NoAttempt> {
        let mut search = Search { request: None, full: None, skip: None };
        self.waiting(Instant::now(), &mut search, NoAttempt::None(None))
    }
}
