//! The limits of one layer with their store.
//!
//! The way of a request:
//!
//! 1. [`LimitSet::permit_requests`] turns the head of the request into one permit request for each
//!    limit, in the order of the limits.
//! 2. The store decides: `limits.store().backend().decide(&requests)`.
//! 3. [`LimitSet::check`] counts the decision, records it in the context and returns the rejection.
//! 4. [`LimitSet::response_headers`] and [`Release`](super::release::Release) act on the response.

use std::sync::Arc;

use http::{HeaderMap, Request, header::AUTHORIZATION};

use super::{
    configured::ConfiguredLimit,
    counts::LimitCounts,
    headers::{HeaderPlan, LimitHeaders, RateLimitHeaders},
    kind::Unit,
    limit::Limit,
    store::{Decision, PermitRequest, PermitRequests, Store},
    subject::HashedSubject,
};
use crate::{
    context::{RequestContext, RequestHead},
    rejection::{Refusal, Rejection},
    unverified,
};

/// The limits of one layer, the narrowest first. Clones share the store and the counts.
#[derive(Clone, Debug)]
pub(crate) struct LimitSet {
    limits: Vec<ConfiguredLimit>,
    store: Store,
    unit: Unit,
    headers: HeaderPlan,
    needs_release: bool,
}

impl LimitSet {
    pub(crate) fn new(limit: Limit, unit: Unit) -> Self {
        let mut set = Self {
            limits: Vec::new(),
            store: Store::default(),
            unit,
            headers: HeaderPlan::new(unit),
            needs_release: false,
        };
        set.push(limit);
        set
    }

    /// Adds a limit at its place in the order, under a name of its own.
    pub(crate) fn push(&mut self, limit: Limit) {
        let limit = limit.resolved();
        let name = self.free_name(&limit.name);
        let rank = limit.by.rank();
        let index = self.limits.partition_point(|other| other.settings.by.rank() <= rank);
        self.limits.insert(index, ConfiguredLimit::new(limit, name));
        self.rekey();
    }

    /// Counts in another store.
    pub(crate) fn set_store(&mut self, store: Store) {
        self.store = store;
        self.rekey();
    }

    /// Takes over the store, and the counts of the limits with the same names.
    pub(crate) fn inherit_state(&mut self, old: &Self) {
        for limit in &mut self.limits {
            if let Some(old) = old.find(&limit.name) {
                limit.counters = Arc::clone(&old.counters);
            }
        }
        self.set_store(old.store.clone());
    }

    pub(crate) const fn set_headers(&mut self, headers: LimitHeaders) {
        self.headers.set_setting(headers);
    }

    #[cfg(test)]
    pub(crate) const fn headers(&self) -> &HeaderPlan {
        &self.headers
    }

    pub(crate) const fn unit(&self) -> Unit {
        self.unit
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the limits in the order of the permit requests.
    pub(crate) fn limits(&self) -> &[ConfiguredLimit] {
        &self.limits
    }

    pub(crate) fn find(&self, name: &str) -> Option<&ConfiguredLimit> {
        self.limits.iter().find(|limit| *limit.name == *name)
    }

    pub(crate) fn counts(&self) -> Vec<LimitCounts> {
        self.limits.iter().map(|limit| limit.counters.read(&limit.name, self.unit)).collect()
    }

    /// Returns whether a request that passes may settle something later.
    pub(crate) const fn needs_release(&self) -> bool {
        self.needs_release
    }

    /// Returns whether a request that passes may need something done with its response.
    pub(crate) fn acts_on_responses(&self) -> bool {
        self.needs_release || self.headers.are_sent()
    }

    /// Returns the headers that describe the decision, or `None` where no limit is shown.
    pub(crate) fn response_headers(
        &self,
        requests: &[PermitRequest],
        decision: &Decision,
    ) -> Option<RateLimitHeaders> {
        self.headers.headers(&self.limits, requests, decision)
    }

    /// Adds one permit request of this `cost` for each limit.
    ///
    /// # Errors
    ///
    /// `missing-credentials` where a limit needs a verified caller and the request has none.
    pub(crate) fn permit_requests<B>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
        cost: u64,
        permit_requests: &mut PermitRequests,
    ) -> Result<(), Rejection> {
        let head = RequestHead::new(request, context);
        let hasher = self.store.backend().hasher();
        let mut subject = None;
        for limit in &self.limits {
            if !limit.shares_subject {
                subject = limit.settings.by.subject(&head, hasher, limit.constant);
            }
            let tier = limit.tier(&head);
            // A tier or a function of the user may have looked for the caller too.
            let lacked_identity = head.take_lacked_identity() || subject.is_none();
            if lacked_identity && request.headers().contains_key(AUTHORIZATION) {
                limit.counters.count_without_identity(&limit.name);
            }
            let key = match subject {
                Some(HashedSubject { key, lacks_value }) => {
                    if lacks_value {
                        limit.counters.count_without_value(&limit.name, &limit.settings.by);
                    }
                    key
                }
                None if limit.settings.enforced => {
                    return Err(without_identity(request.headers()));
                }
                // A limit in shadow rejects nothing.
                None => hasher.key([b"unknown".as_slice()]),
            };
            // A limit of failures checks the request, and takes its permit on the response.
            let cost = if limit.settings.counts_failures() { 0 } else { cost };
            permit_requests.push(limit.request(key, tier, cost));
        }
        Ok(())
    }

    fn free_name(&self, wanted: &str) -> Arc<str> {
        let mut name: Arc<str> = wanted.into();
        let mut number = 2_u32;
        while self.find(&name).is_some() {
            name = format!("{wanted}-{number}").into();
            number = number.saturating_add(1);
        }
        name
    }

    fn rekey(&mut self) {
        let hasher = self.store.backend().hasher();
        let mut before = None;
        for limit in &mut self.limits {
            limit.rekey(hasher, self.unit, before);
            before = Some(&limit.settings.by);
        }
        self.headers.prepare(&self.limits);
        self.needs_release = self.limits.iter().any(ConfiguredLimit::needs_release);
    }
}

/// Returns the rejection of a request without the identity that a limit needs.
fn without_identity(headers: &HeaderMap) -> Rejection {
    let rejection = Rejection::new(Refusal::MissingCredentials);
    if headers.contains_key(AUTHORIZATION) {
        rejection.with_detail(unverified::DETAIL)
    } else {
        rejection
    }
}
