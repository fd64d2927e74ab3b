//! Numbers that differ by tier or plan.

use std::{fmt, sync::Arc};

use super::Allowance;
use crate::identity::Identity;

/// Which allowance holds for whom.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    by: TierOf,
    // Few, so that looking at each is cheaper than hashing.
    allowances: Vec<(Box<str>, Allowance)>,
}

#[derive(Clone)]
enum TierOf {
    Claim(Box<str>),
    Function(Arc<Name>),
}

type Name = dyn Fn(&Identity) -> Option<&str> + Send + Sync;

impl Tiers {
    pub(super) fn by_claim(claim: Box<str>, allowances: Vec<(Box<str>, Allowance)>) -> Self {
        Self { by: TierOf::Claim(claim), allowances }
    }

    pub(super) fn by_function(
        of: impl Fn(&Identity) -> Option<&str> + Send + Sync + 'static,
        allowances: Vec<(Box<str>, Allowance)>,
    ) -> Self {
        Self { by: TierOf::Function(Arc::new(of)), allowances }
    }

    /// The same for a limit that counts failures.
    pub(super) fn of_failures(&self) -> Self {
        let allowances = self.allowances.iter();
        let allowances = allowances.map(|(name, one)| (name.clone(), one.of_failures())).collect();
        Self { by: self.by.clone(), allowances }
    }

    pub(super) fn allowances(&self) -> impl Iterator<Item = Allowance> {
        self.allowances.iter().map(|(_, allowance)| *allowance)
    }

    /// The place of the tier of this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.allowances.iter().position(|(tier, _)| **tier == *name)
    }

    /// The place of this caller's tier.
    pub(super) fn of(&self, identity: &Identity) -> Option<usize> {
        let name = match &self.by {
            TierOf::Claim(claim) => identity.claim(claim)?.as_str(),
            TierOf::Function(function) => function(identity),
        };
        self.named(name?)
    }
}

impl fmt::Debug for TierOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => f.debug_tuple("Claim").field(name).finish(),
            Self::Function(_) => f.debug_struct("Function").finish_non_exhaustive(),
        }
    }
}
