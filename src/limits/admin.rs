//! Reads and resets the state of one subject.

use std::{fmt, future::Future, time::Duration};

use super::{
    configured::ConfiguredLimit,
    limit_set::LimitSet,
    store::{PermitOutcome, StoreDecision, StoreFuture},
    subject::{CounterKey, Subject},
};
use crate::error_debug::debug_as_message;

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
#[derive(Clone, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitError {
    /// The layer has no limit of this name.
    NoSuchLimit {
        /// The given name.
        name: Box<str>,
        /// The names of the layer's limits.
        known: Vec<Box<str>>,
    },
    /// The limit has no tier or plan of this name.
    NoSuchTier {
        /// The given name.
        name: Box<str>,
        /// The names of the limit's tiers or plans.
        known: Vec<Box<str>>,
    },
    /// The limit counts another kind of subject.
    WrongSubject {
        /// The function of [`Subject`] that makes the limit's subjects.
        expected: &'static str,
    },
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
                let tiers = limit.settings.tiers.as_ref();
                let index = tiers.and_then(|tiers| tiers.index_of(name));
                Some(index.ok_or_else(|| LimitError::NoSuchTier {
                    name: name.into(),
                    known: tiers.iter().flat_map(|tiers| tiers.names()).map(Into::into).collect(),
                })?)
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
        let limit = self.find(limit).ok_or_else(|| LimitError::NoSuchLimit {
            name: limit.into(),
            known: self.limits().iter().map(|limit| (*limit.name).into()).collect(),
        })?;
        let hasher = self.store().backend().hasher();
        let key = subject.hash(&limit.settings.by, hasher);
        let expected = limit.settings.by.subject_name();
        Ok((limit, key.ok_or(LimitError::WrongSubject { expected })?))
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
        match self {
            Self::NoSuchLimit { name, known } => {
                write!(f, "the layer has no limit `{name}`; its limits: {}", known.join(", "))
            }
            Self::NoSuchTier { name, known } if known.is_empty() => {
                write!(f, "the limit has no tier or plan `{name}`, because it has none")
            }
            Self::NoSuchTier { name, known } => {
                let known = known.join(", ");
                write!(f, "the limit has no tier or plan `{name}`; its tiers: {known}")
            }
            Self::WrongSubject { expected } => write!(
                f,
                "the limit counts another kind of subject; Subject::{expected} makes the right one"
            ),
            Self::Unavailable => f.write_str("the store of the limits cannot be reached"),
        }
    }
}

debug_as_message!(LimitError);

impl std::error::Error for LimitError {}
