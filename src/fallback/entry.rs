//! A target in the course of one request.

use tokio::time::Instant;

/// A target in the order of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) target: u16,
    pub(super) attempts: u16,
    pub(super) state: EntryState,
    /// The time before which this request makes no further attempt there.
    pub(super) again: Option<Instant>,
    pub(super) busy: Busy,
}

/// Whether the last failure says that the model loads or is busy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Busy {
    No,
    /// A cool-down, or [`Entry::again`], has the end of the wait.
    Timed,
    /// A 429 without a time that concerns one token. It begins no cool-down.
    Untimed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntryState {
    Open,
    /// A member of its group failed in a way that concerns all.
    Stopped,
    /// The request does not fit, or the upstream says that no other attempt helps.
    Closed,
}

impl Entry {
    pub(super) const fn new(target: u16) -> Self {
        Self { target, attempts: 0, state: EntryState::Open, again: None, busy: Busy::No }
    }

    /// Returns whether it may have its first attempt.
    pub(super) fn is_first(&self) -> bool {
        self.attempts == 0 && self.state == EntryState::Open
    }

    /// Returns whether it may have another attempt after a failure.
    pub(super) fn is_retried(&self, retries: u32) -> bool {
        let is_left = self.attempts > 0 && u32::from(self.attempts) <= retries;
        is_left && self.state != EntryState::Closed
    }
}
