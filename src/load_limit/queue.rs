use std::{collections::VecDeque, sync::Arc, task::Waker};

use super::{callers::Caller, share::Share};
use crate::lock::Lock;

/// The waiting requests. Each caller has a line, and the lines take turns.
#[derive(Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    waiting: usize,
}

/// The waiting requests of one caller. Requests without a caller share one line. Never empty.
struct Line {
    caller: Option<Caller>,
    waiters: VecDeque<Arc<Waiter>>,
}

/// One waiting request.
pub(super) struct Waiter {
    state: Lock<WaitState>,
}

enum WaitState {
    Waiting(Option<Waker>),
    /// The permit was counted for this request.
    Granted,
}

impl Queue {
    /// Adds a request at the end of its caller's line. `None` when the queue is full or the caller is
    /// beyond its share of it.
    pub(super) fn push(
        &mut self,
        caller: Option<Caller>,
        max: usize,
        share: Share,
    ) -> Option<Arc<Waiter>> {
        let line = self.lines.iter().position(|line| line.caller == caller);
        let line = line.and_then(|line| self.lines.get_mut(line));
        let limit = match (caller, &line) {
            (None, _) => max,
            (Some(_), None) => share.limit(max, 0),
            (Some(_), Some(line)) => share.limit(max, line.waiters.len()),
        };
        if self.waiting >= limit {
            return None;
        }
        self.waiting += 1;
        let waiter = Arc::new(Waiter { state: Lock::new(WaitState::Waiting(None)) });
        match line {
            Some(line) => line.waiters.push_back(Arc::clone(&waiter)),
            None => {
                let waiters = VecDeque::from([Arc::clone(&waiter)]);
                self.lines.push_back(Line { caller, waiters });
            }
        }
        Some(waiter)
    }

    /// Removes the first request of the first line for which `take` takes a permit.
    pub(super) fn next(
        &mut self,
        mut take: impl FnMut(Option<Caller>) -> bool,
    ) -> Option<Arc<Waiter>> {
        let line = self.lines.iter().position(|line| take(line.caller))?;
        let mut line = self.lines.remove(line)?;
        let waiter = line.waiters.pop_front()?;
        self.waiting -= 1;
        if !line.waiters.is_empty() {
            self.lines.push_back(line);
        }
        Some(waiter)
    }

    /// Removes `waiter`. `false` when it has left the queue with a permit.
    pub(super) fn remove(&mut self, caller: Option<Caller>, waiter: &Arc<Waiter>) -> bool {
        let Some(at) = self.lines.iter().position(|line| line.caller == caller) else {
            return false;
        };
        let Some(line) = self.lines.get_mut(at) else { return false };
        let Some(place) = line.waiters.iter().position(|other| Arc::ptr_eq(other, waiter)) else {
            return false;
        };
        line.waiters.remove(place);
        if line.waiters.is_empty() {
            self.lines.remove(at);
        }
        self.waiting -= 1;
        true
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }
}

impl Waiter {
    /// Gives the waiter its permit. Returns the waker to wake outside of all locks.
    pub(super) fn grant(&self) -> Option<Waker> {
        match std::mem::replace(&mut *self.state.lock(), WaitState::Granted) {
            WaitState::Waiting(waker) => waker,
            WaitState::Granted => None,
        }
    }

    /// Returns whether the waiter has its permit. If not, `waker` will be woken.
    pub(super) fn is_granted(&self, waker: &Waker) -> bool {
        let before;
        {
            let mut state = self.state.lock();
            match &mut *state {
                WaitState::Granted => return true,
                WaitState::Waiting(Some(known)) if known.will_wake(waker) => return false,
                WaitState::Waiting(known) => before = known.replace(waker.clone()),
            }
        }
        // A waker is the user's code. It is dropped outside of the lock.
        drop(before);
        false
    }
}
