//! Looking at one key's state, and resetting it.

use std::{fmt, future::Future, time::Duration};

use super::{
    Subject,
    ask::{Decision, Standing},
    limits::Limits,
    store::Reply,
};

/// How a subject stands with a limit. From [`ThrottleLayer::standing`](super::ThrottleLayer::standing).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitStanding {
    /// Whether one more request would pass.
    pub allows: bool,
    /// How many would.
    pub remaining: u64,
    /// The most there can be left: the burst, this period's quota, the most in flight.
    pub most: u64,
    /// How long until one more passes. Zero where it does.
    pub wait: Duration,
    /// How long until all is there again.
    pub reset: Duration,
}

/// Why a limit's state cannot be read or reset.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitError {
    /// The layer has no limit of this name.
    NoSuchLimit,
    /// The limit counts by something else than this subject is.
    OtherSubject,
    /// The limit has no tier or plan of this name.
    NoSuchTier,
    /// The store cannot be reached.
    Unavailable,
}

impl Limits {
    pub(super) fn standing(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitStanding, LimitError>> + Send + use<> {
        let reply = self.look(limit, subject);
        async move {
            let decision = match reply? {
                Reply::Now(decision) => decision,
                Reply::Later(later) => later.await,
            };
            let Decision { standings, .. } = decision.map_err(|_| LimitError::Unavailable)?;
            standings.first().map(LimitStanding::from).ok_or(LimitError::Unavailable)
        }
    }

    pub(super) fn reset(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), LimitError>> + Send + use<> {
        let reply = self.forget(limit, subject);
        async move { if reply?.await { Ok(()) } else { Err(LimitError::Unavailable) } }
    }

    fn look(&self, limit: &str, subject: &Subject) -> Result<Reply, LimitError> {
        let held = self.named(limit).ok_or(LimitError::NoSuchLimit)?;
        let backend = self.store().backend();
        let key = subject.hash(&held.limit.by, backend.keys()).ok_or(LimitError::OtherSubject)?;
        let tier = match &subject.tier {
            Some(name) => {
                let tiers = held.limit.tiers.as_ref().ok_or(LimitError::NoSuchTier)?;
                Some(tiers.named(name).ok_or(LimitError::NoSuchTier)?)
            }
            None => None,
        };
        Ok(backend.look(&[held.ask(key, tier, 0)].into_iter().collect()))
    }

    fn forget(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> Result<super::store::Later<bool>, LimitError> {
        let held = self.named(limit).ok_or(LimitError::NoSuchLimit)?;
        let backend = self.store().backend();
        let key = subject.hash(&held.limit.by, backend.keys()).ok_or(LimitError::OtherSubject)?;
        Ok(backend.reset(&held.keys_of(key)))
    }
}

impl From<&Standing> for LimitStanding {
    fn from(standing: &Standing) -> Self {
        let Standing { allows, remaining, most, wait, reset, window: _ } = *standing;
        Self { allows, remaining, most, wait, reset }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchLimit => "there is no limit of this name",
            Self::OtherSubject => "the limit does not count by such a subject",
            Self::NoSuchTier => "the limit has no tier or plan of this name",
            Self::Unavailable => "the store of the limits cannot be reached",
        })
    }
}

impl std::error::Error for LimitError {}
