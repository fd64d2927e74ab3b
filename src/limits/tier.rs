use std::{fmt, sync::Arc};

use super::kind::Allowance;
use crate::identity::Identity;

/// The allowances of tiers or plans.
#[derive(Clone, Debug)]
pub(crate) struct Tiers {
    source: TierSource,
    // Few, so that a search is cheaper than hashing.
    allowances: Vec<(Box<str>, Allowance)>,
}

/// Where the name of a caller's tier is found.
#[derive(Clone)]
enum TierSource {
    Plan,
    Function(Arc<TierName>),
}

type TierName = dyn Fn(&Identity) -> Option<&str> + Send + Sync;

impl Tiers {
    pub(crate) const fn by_plan(allowances: Vec<(Box<str>, Allowance)>) -> Self {
        Self { source: TierSource::Plan, allowances }
    }

    pub(crate) fn by_function(
        of: impl Fn(&Identity) -> Option<&str> + Send + Sync + 'static,
        allowances: Vec<(Box<str>, Allowance)>,
    ) -> Self {
        Self { source: TierSource::Function(Arc::new(of)), allowances }
    }

    /// Returns the same tiers for a limit that counts failures.
    pub(crate) fn of_failures(&self) -> Self {
        let allowances = self.allowances.iter();
        let allowances = allowances.map(|(name, one)| (name.clone(), one.of_failures())).collect();
        Self { source: self.source.clone(), allowances }
    }

    pub(crate) fn allowances(&self) -> impl Iterator<Item = Allowance> {
        self.allowances.iter().map(|(_, allowance)| *allowance)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.allowances.iter().map(|(name, _)| &**name)
    }

    /// Returns the index of the tier of this name.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.allowances.iter().position(|(tier, _)| **tier == *name)
    }

    /// Returns the index of this caller's tier.
    pub(crate) fn of(&self, identity: &Identity) -> Option<usize> {
        let name = match &self.source {
            TierSource::Plan => identity.plan(),
            TierSource::Function(function) => function(identity),
        };
        self.index_of(name?)
    }
}

impl fmt::Debug for TierSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => f.write_str("Plan"),
            Self::Function(_) => f.debug_struct("Function").finish_non_exhaustive(),
        }
    }
}
