//! An attempt that has not begun.

use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use super::prepare::{Prepared, Reached, Skip};
use crate::{
    load_limit::{LoadPermit, LoadWait, NoPermit},
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

/// How an attempt begins.
pub(super) enum Start {
    Now(Option<LoadPermit>),
    Queued(LoadWait),
    At(Instant),
}

/// A permit of a target, or a place in its queue.
pub(super) enum Admission {
    // `None` for an entry without a target.
    Now(Option<LoadPermit>),
    Queued(LoadWait),
}

/// Why there is no next attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoAttempt {
    /// A target has no permit for the request and no place in its queue.
    NoPermit(NoPermit),
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

impl From<Admission> for Start {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::Now(permit) => Self::Now(permit),
            Admission::Queued(wait) => Self::Queued(wait),
        }
    }
}
