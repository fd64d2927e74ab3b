use std::{borrow::Cow, sync::Arc};

use super::{
    kind::{Allowance, AllowanceKind},
    subject::{CountBy, KeyFunction},
    tier::Tiers,
};
use crate::{context::RequestHead, identity::Identity, peer::PeerAddress};

/// A limit: the requests that are counted together and the number of permits that they may take.
///
/// ```
/// use tower_inference::limits::{Concurrency, Limit, Quota, Rate};
///
/// // A caller without one of these plans gets 1 request a second.
/// let plans = [("gold", Rate::per_second(100).burst(200)), ("free", Rate::per_second(2))];
/// let rate = Limit::per_identity(Rate::per_second(1)).by_plan(plans).name("plan-rate");
/// let quota = Limit::per_tenant(Quota::per_month(1_000_000));
/// let streams = Limit::per_identity(Concurrency::new(4)).shadow();
/// # let _ = (rate, quota, streams);
/// ```
#[derive(Clone, Debug)]
pub struct Limit {
    pub(crate) by: CountBy,
    pub(crate) allowance: Allowance,
    pub(crate) name: Cow<'static, str>,
    pub(crate) enforced: bool,
    pub(crate) shown: bool,
    pub(crate) tiers: Option<Arc<Tiers>>,
    failures: bool,
}

impl Limit {
    /// Counts each principal: the proof, issuer and subject of an identity. Rejects requests without
    /// an identity with `missing-credentials`.
    pub fn per_identity(allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Identity, "identity", allowance.into())
    }

    /// Counts each value of a claim for each issuer, such as the team of an API key.
    ///
    /// Callers of one issuer share a counter if their claim is missing or is no string. The first of
    /// them is logged at `warn`. Rejects requests without an identity with `missing-credentials`.
    pub fn per_claim(name: impl Into<Arc<str>>, allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Claim(name.into()), "claim", allowance.into())
    }

    /// Counts each tenant of each issuer.
    ///
    /// Callers of one issuer without a tenant share a counter. The first of them is logged at `warn`.
    /// Rejects requests without an identity with `missing-credentials`.
    pub fn per_tenant(allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Tenant, "tenant", allowance.into())
    }

    /// Counts each address. Requests whose address is unknown share a counter.
    pub fn per_peer(address: PeerAddress, allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Peer(address), "peer", allowance.into())
    }

    /// Counts each key that a function finds in a request.
    ///
    /// Requests without a key share a counter. The function runs on each request. It should return a
    /// cheap clone, such as a [`HeaderValue`](http::HeaderValue) or an array. It must not panic.
    ///
    /// ```
    /// use tower_inference::{
    ///     context::RequestHead,
    ///     limits::{Limit, Rate},
    /// };
    ///
    /// let project = |head: &RequestHead<'_>| head.headers().get("x-project").cloned();
    /// let limit = Limit::per_key(project, Rate::per_second(10));
    /// # let _ = limit;
    /// ```
    pub fn per_key<T: AsRef<[u8]>>(
        key: impl Fn(&RequestHead<'_>) -> Option<T> + Send + Sync + 'static,
        allowance: impl Into<Allowance>,
    ) -> Self {
        Self::new(CountBy::Key(KeyFunction::new(key)), "key", allowance.into())
    }

    /// Counts each route by the name in the
    /// [`RequestContext`](crate::context::RequestContext::route), which a
    /// [`RouteLayer`](crate::route::RouteLayer) outside of the limit sets. Requests without a route share
    /// a counter, and the first one is logged.
    pub fn per_route(allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Route, "route", allowance.into())
    }

    /// Counts all requests together.
    pub fn global(allowance: impl Into<Allowance>) -> Self {
        Self::new(CountBy::Global, "global", allowance.into())
    }

    /// Sets other allowances for callers with one of these [plans](Identity::plan), like API Gateway's
    /// usage plans. The limit's own allowance applies to all others.
    ///
    /// The method of authentication sets the plan: an API key has one in its record, a JWT has one
    /// in a claim that its settings name, and a method of yours has `Identity::with_plan`. Names are compared exactly, case included.
    ///
    /// A caller that changes its plan keeps its counter if both plans are of one kind, such as two
    /// rates. Replaces plans and tiers that were set before.
    #[must_use]
    pub fn by_plan<N: Into<Box<str>>, A: Into<Allowance>>(
        self,
        plans: impl IntoIterator<Item = (N, A)>,
    ) -> Self {
        Self { tiers: Some(Arc::new(Tiers::by_plan(named(plans)))), ..self }
    }

    /// Sets other allowances for callers whose tier the function `of` names. The limit's own
    /// allowance applies to all others.
    ///
    /// A caller that changes its tier keeps its counter if both tiers are of one kind. Replaces plans
    /// and tiers that were set before.
    ///
    /// ```
    /// use tower_inference::limits::{Limit, Rate};
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

    /// Counts and reports the requests that it would reject, but rejects none.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.enforced = false;
        self
    }

    /// Sets the name in headers, log records and the store.
    ///
    /// Defaults to the kind of limit, such as `identity` or `global`. If two limits of a layer have one
    /// name, the later one gets a number: `identity-2`. Counters are found by name, so name each limit
    /// whose place in the layer may change. Two layers that share a [`Store`](super::Store) share the
    /// counters of one name, so name the limits of one of them unless that is intended.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Describes the limit to clients in headers and in the detail of rejections. Default of limits by
    /// identity, claim and tenant.
    #[must_use]
    pub const fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Hides the limit from clients. Default of limits by peer, key and route and of global limits,
    /// whose state would reveal the traffic of others.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.shown = false;
        self
    }

    /// Counts failed authentications alone.
    ///
    /// For a layer outside authentication that counts by address, such as `Stack::peer_throttle`.
    ///
    /// | rejection | counts |
    /// |---|---|
    /// | `invalid-token`, `expired-token`, `invalid-api-key`, `invalid-signature`, `invalid-request` | yes |
    /// | `missing-credentials`, which is no attempt to guess | no |
    /// | `insufficient-scope`, which belongs to valid credentials | no |
    ///
    /// A request passes if one permit is available. It takes the permit when its response arrives.
    /// Parallel attempts may take more permits than are available. The rest is debt, which must grow
    /// back first. The debt of a rate grows back in a day or in one fill of its bucket, whichever is
    /// longer. The debt of a quota is at most the limit of its next window. An attempt takes nothing
    /// if its client leaves before the response. The setter has no effect on a
    /// [`Concurrency`](super::Concurrency).
    ///
    /// ```
    /// use tower_inference::{
    ///     limits::{Limit, Rate},
    ///     peer::PeerAddress,
    /// };
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

    /// Returns the limit with the allowances of failures, if it counts those.
    pub(crate) fn resolved(mut self) -> Self {
        if self.failures {
            self.allowance = self.allowance.of_failures();
            self.tiers = self.tiers.map(|tiers| Arc::new(tiers.of_failures()));
        }
        self
    }

    pub(crate) const fn counts_failures(&self) -> bool {
        self.failures && !matches!(self.allowance.0, AllowanceKind::Concurrency(_))
    }

    const fn new(by: CountBy, name: &'static str, allowance: Allowance) -> Self {
        let shown = matches!(by, CountBy::Identity | CountBy::Claim(_) | CountBy::Tenant);
        let name = Cow::Borrowed(name);
        Self { by, allowance, name, enforced: true, shown, tiers: None, failures: false }
    }
}

fn named<N: Into<Box<str>>, A: Into<Allowance>>(
    allowances: impl IntoIterator<Item = (N, A)>,
) -> Vec<(Box<str>, Allowance)> {
    allowances.into_iter().map(|(name, allowance)| (name.into(), allowance.into())).collect()
}
