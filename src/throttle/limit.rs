use std::{borrow::Cow, fmt, sync::Arc};

use super::{
    Allowance, PeerAddress, RequestHead,
    allowance::Kind,
    key::{Key, Keys},
    subject,
    tier::Tiers,
};
use crate::identity::Identity;

/// What is limited, by what, and how much it may be.
///
/// ```
/// use tower_inference::throttle::{Concurrency, Limit, Quota, Rate};
///
/// // API Gateway's usage plans: who has none of these gets 1 request a second.
/// let plan = [("gold", Rate::per_second(100).burst(200)), ("free", Rate::per_second(2))];
/// let rate = Limit::per_identity(Rate::per_second(1)).plans("plan", plan).name("plan-rate");
/// let quota = Limit::per_tenant(Quota::per_month(1_000_000));
/// let streams = Limit::per_identity(Concurrency::of(4)).shadow();
/// # let _ = (rate, quota, streams);
/// ```
#[derive(Clone, Debug)]
pub struct Limit {
    pub(super) by: By,
    pub(super) allowance: Allowance,
    pub(super) name: Cow<'static, str>,
    pub(super) enforced: bool,
    pub(super) shown: bool,
    failures: bool,
    pub(super) tiers: Option<Arc<Tiers>>,
}

/// By what it is counted. The order is API Gateway's: the narrowest first.
#[derive(Clone, Debug)]
pub(super) enum By {
    Identity,
    Claim(Arc<str>),
    Tenant,
    Peer(PeerAddress),
    Key(Function),
    Route,
    Global,
}

/// A function of the caller's own.
#[derive(Clone)]
pub(super) struct Function(Arc<Hash>);

type Hash = dyn Fn(&RequestHead<'_>, &Keys) -> Option<Key> + Send + Sync;

impl Limit {
    /// For each principal: (how proved, issuer, subject). Who has not proved who they are is refused
    /// with `missing-credentials`.
    pub fn per_identity(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Identity, "identity", allowance.into())
    }

    /// For each string that this claim of the caller's credential holds, of each issuer: an API key's
    /// plan, a team. All of an issuer whose credential has no such claim, or one that is no string,
    /// share one counter; who has not proved who they are is refused with `missing-credentials`.
    pub fn per_claim(name: impl Into<Arc<str>>, allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Claim(name.into()), "claim", allowance.into())
    }

    /// For each tenant, of each issuer. All of an issuer who have no tenant share one counter; who has
    /// not proved who they are is refused with `missing-credentials`.
    pub fn per_tenant(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Tenant, "tenant", allowance.into())
    }

    /// For each address. All whose address is not known share one counter.
    pub fn per_peer(address: PeerAddress, allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Peer(address), "peer", allowance.into())
    }

    /// For whatever the bytes tell apart that `key` finds in a request; all for whom it says `None`
    /// share one counter. It runs on each request, so a cheap clone (a
    /// [`HeaderValue`](http::HeaderValue), an array) is better than a `String`. It must not panic.
    ///
    /// ```
    /// use tower_inference::throttle::{Limit, Rate, RequestHead};
    ///
    /// let project = |head: &RequestHead<'_>| head.headers().get("x-project").cloned();
    /// let limit = Limit::per_key(project, Rate::per_second(10));
    /// # let _ = limit;
    /// ```
    pub fn per_key<T: AsRef<[u8]>>(
        key: impl Fn(&RequestHead<'_>) -> Option<T> + Send + Sync + 'static,
        allowance: impl Into<Allowance>,
    ) -> Self {
        let hashed = move |head: &RequestHead<'_>, keys: &Keys| {
            key(head).map(|bytes| subject::own(keys, bytes.as_ref()))
        };
        Self::new(By::Key(Function(Arc::new(hashed))), "key", allowance.into())
    }

    /// For each route, by the name in the
    /// [`RequestContext`](crate::context::RequestContext::route). All without one share one counter.
    pub fn per_route(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Route, "route", allowance.into())
    }

    /// For all together.
    pub fn global(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Global, "global", allowance.into())
    }

    /// Other numbers for those whose credential holds one of these strings in `claim`: API Gateway's
    /// usage plans. For all others the limit's own hold.
    ///
    /// Who changes plan keeps what is counted, as long as both plans count alike (both by rate, say).
    /// Takes the place of plans or tiers that were set before.
    #[must_use]
    pub fn plans<N: Into<Box<str>>, A: Into<Allowance>>(
        self,
        claim: impl Into<Box<str>>,
        plans: impl IntoIterator<Item = (N, A)>,
    ) -> Self {
        Self { tiers: Some(Arc::new(Tiers::by_claim(claim.into(), named(plans)))), ..self }
    }

    /// Other numbers for those of whom `of` names one of these tiers. For all others, and those who
    /// are not known, the limit's own hold. Else as [`plans`](Self::plans), whose place it takes.
    ///
    /// ```
    /// use tower_inference::throttle::{Limit, Rate};
    ///
    /// let tiers = [("internal", Rate::per_second(500))];
    /// let limit = Limit::per_identity(Rate::per_second(10))
    ///     .tiers(|caller| caller.has_scope("staff").then_some("internal"), tiers);
    /// # let _ = limit;
    /// ```
    #[must_use]
    pub fn tiers<N: Into<Box<str>>, A: Into<Allowance>>(
        self,
        of: impl Fn(&Identity) -> Option<&str> + Send + Sync + 'static,
        tiers: impl IntoIterator<Item = (N, A)>,
    ) -> Self {
        Self { tiers: Some(Arc::new(Tiers::by_function(of, named(tiers)))), ..self }
    }

    /// Counts and tells what it would refuse, and refuses nothing.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.enforced = false;
        self
    }

    /// Names the limit, as fields of answers, records and the store know it: `identity`, `claim`,
    /// `tenant`, `peer`, `key`, `route` or `global` by default. Of two limits of a layer with one name
    /// the later gets a number: `identity-2`.
    ///
    /// State that is handed from a layer to its successor, or shared by replicas, is found by name:
    /// name what may change its place.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether rejections and fields of answers tell callers of this limit. Default: those by identity,
    /// claim and tenant, which are the caller's own; not the others, whose state is that of strangers.
    #[must_use]
    pub const fn shown(mut self, yes: bool) -> Self {
        self.shown = yes;
        self
    }

    /// Counts failed authentications alone: answers of an `AuthLayer` within
    /// that refused credentials which came and did not hold (`invalid-token`, `expired-token`,
    /// `invalid-api-key`, `invalid-signature`, `invalid-request`). Missing credentials are no guess, a
    /// missing scope is said of credentials that hold: neither counts. For a layer outside
    /// authentication, by address: `Stack::peer_throttle`.
    ///
    /// A request passes where one failure is left, and is charged when its answer comes. Attempts at
    /// the same time may take more than is left; that is debt, and must grow back first. A rate owes
    /// them all, for a day or one fill of its bucket at most, whichever is longer; a quota owes the
    /// limit of its next window at most. An attempt whose caller leaves before its answer is not charged. Of a
    /// [`Concurrency`](super::Concurrency), which failures do not have, it makes no difference.
    ///
    /// ```
    /// use tower_inference::throttle::{Limit, PeerAddress, Rate};
    ///
    /// let address = PeerAddress::connection();
    /// let limit = Limit::per_peer(address, Rate::per_minute(10)).failed_authentications();
    /// # let _ = limit;
    /// ```
    #[must_use]
    pub const fn failed_authentications(mut self) -> Self {
        self.failures = true;
        self
    }

    /// The same with the allowances of what it counts, its tiers' too.
    pub(super) fn resolved(mut self) -> Self {
        if self.failures {
            self.allowance = self.allowance.of_failures();
            self.tiers = self.tiers.map(|tiers| Arc::new(tiers.of_failures()));
        }
        self
    }

    pub(super) const fn counts_failures(&self) -> bool {
        self.failures && !matches!(self.allowance.0, Kind::Concurrency(_))
    }

    const fn new(by: By, name: &'static str, allowance: Allowance) -> Self {
        let shown = matches!(by, By::Identity | By::Claim(_) | By::Tenant);
        let name = Cow::Borrowed(name);
        Self { by, allowance, name, enforced: true, shown, failures: false, tiers: None }
    }
}

fn named<N: Into<Box<str>>, A: Into<Allowance>>(
    allowances: impl IntoIterator<Item = (N, A)>,
) -> Vec<(Box<str>, Allowance)> {
    allowances.into_iter().map(|(name, allowance)| (name.into(), allowance.into())).collect()
}

// === impl By ===

impl By {
    /// The place in the order.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Claim(_) => 1,
            Self::Tenant => 2,
            Self::Peer(_) => 3,
            Self::Key(_) => 4,
            Self::Route => 5,
            Self::Global => 6,
        }
    }

    /// Whether both count by the same thing, so that it is hashed once.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Claim(one), Self::Claim(other)) => one == other,
            (Self::Key(one), Self::Key(other)) => Arc::ptr_eq(&one.0, &other.0),
            // How an address is found is a function, too.
            (Self::Peer(_), Self::Peer(_)) => false,
            _ => self.rank() == other.rank(),
        }
    }
}

// === impl Function ===

impl Function {
    pub(super) fn key(&self, head: &RequestHead<'_>, keys: &Keys) -> Option<Key> {
        (self.0)(head, keys)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}
