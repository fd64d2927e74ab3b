//! Reads and resets the state of one subject.

use std::{fmt, future::Future, time::Duration};

use super::{
    configured::ConfiguredLimit,
    limit_set::LimitSet,
    store::{PermitOutcome, StoreDecision, StoreFuture},
    subject::{CounterKey, Subject},
};

/// The state of a limit for one subject. Returned by the `limit_state` of a layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitState {
    /// Whether one more permit is available.
    pub allows: bool,
    /// The permits that are available.
    pub remaining: u64,
    /// The most permits that can be available: the burst of a rate, the limit of this period's quota
    /// or the maximum in flight.
    pub capacity: u64,
    /// The time until one more permit is available, or zero.
    pub retry_after: Duration,
    /// The time until all permits are available again.
    pub reset_after: Duration,
}

/// An error that is returned when a limit's state cannot be read or reset.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitError {
    /// The layer has no limit of this name.
    NoSuchLimit,
    /// The limit has no tier or plan of this name.
    NoSuchTier,
    /// The limit counts another kind of subject.
    WrongSubject,
    /// The store cannot be reached.
    Unavailable,
}

impl LimitSet {
    pub(crate) fn limit_state(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitState, LimitError>> + Send + use<> {
        let decision = self.peek(limit, subject);
        async move {
            let decision = match decision? {
                StoreDecision::Now(decision) => decision,
                StoreDecision::Later(later) => later.await,
            };
            let outcomes = decision.map_err(|_| LimitError::Unavailable)?.outcomes;
            outcomes.first().map(LimitState::from).ok_or(LimitError::Unavailable)
        }
    }

    pub(crate) fn reset(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), LimitError>> + Send + use<> {
        let done = self.reset_counters(limit, subject);
        async move { if done?.await { Ok(()) } else { Err(LimitError::Unavailable) } }
    }

    fn peek(&self, limit: &str, subject: &Subject) -> Result<StoreDecision, LimitError> {
        let (limit, key) = self.find_counter(limit, subject)?;
        let tier = match subject.tier_name() {
            Some(name) => {
                let tiers = limit.settings.tiers.as_ref().ok_or(LimitError::NoSuchTier)?;
                Some(tiers.index_of(name).ok_or(LimitError::NoSuchTier)?)
            }
            None => None,
        };
        let request = limit.request(key, tier, 0);
        Ok(self.store().backend().peek(&[request].into_iter().collect()))
    }

    fn reset_counters(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> Result<StoreFuture<bool>, LimitError> {
        let (limit, key) = self.find_counter(limit, subject)?;
        Ok(self.store().backend().reset(&limit.keys_of(key)))
    }

    fn find_counter(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> Result<(&ConfiguredLimit, CounterKey), LimitError> {
        let limit = self.find(limit).ok_or(LimitError::NoSuchLimit)?;
        let hasher = self.store().backend().hasher();
        let key = subject.hash(&limit.settings.by, hasher).ok_or(LimitError::WrongSubject)?;
        Ok((limit, key))
    }
}

impl From<&PermitOutcome> for LimitState {
    fn from(outcome: &PermitOutcome) -> Self {
        let PermitOutcome { allows, remaining, capacity, retry_after, reset_after, window: _ } =
            *outcome;
        Self { allows, remaining, capacity, retry_after, reset_after }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchLimit => "the layer has no limit of this name",
            Self::NoSuchTier => "the limit has no tier or plan of this name",
            Self::WrongSubject => "the limit counts another kind of subject",
            Self::Unavailable => "the store of the limits cannot be reached",
        })
    }
}

impl std::error::Error for LimitError {}
