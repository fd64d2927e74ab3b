//! An attempt that has not begun.

use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use super::{
    prepare::{Prepared, Reached, Skip},
    target::Target,
};
use crate::{
    load_limit::{Acquired, LoadPermit, LoadWait},
    payload::Payload,
};

/// The next attempt.
pub(super) struct Planned {
    pub(super) entry: usize,
    pub(super) request: Request<Payload>,
    pub(super) reached: Option<Reached>,
    pub(super) start: Start,
    /// Whether it follows a wait for a model.
    pub(super) is_waited_for: bool,
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

impl Planned {
    pub(super) fn new(entry: usize, prepared: Prepared, start: Start) -> Self {
        let Prepared { request, reached } = prepared;
        Self { entry, request, reached, start, is_waited_for: false }
    }
}

impl Start {
    /// Takes a permit for an attempt at a target, or a place in its queue.
    pub(super) fn at(target: &Target) -> Result<Self, NoAttempt> {
        let Some(limit) = &target.limit else { return Ok(Self::Now(None)) };
        match limit.acquire(None) {
            Acquired::Now(permit) => Ok(Self::Now(Some(permit))),
            Acquired::Later(wait) => Ok(Self::Queued(wait)),
            Acquired::Rejected(_) => Err(NoAttempt::Full),
        }
    }
}
