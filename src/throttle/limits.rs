//! The limits of one layer with their counts and their store: what each layer that limits is built
//! around.
//!
//! The way of a request through it:
//!
//! 1. [`Limits::asks`] turns the head of the request into asks, one for each limit, in the order of
//!    the limits; or says why nothing can be asked.
//! 2. The store decides: `limits.store().backend().decide(&asks)`.
//! 3. [`Limits::rejection`] counts the decision, notes in the context whom it names, and says what to
//!    refuse the request with; `None` where it passes. [`Limits::unavailable`] instead, where the
//!    store could not decide.
//! 4. [`Due`](super::due::Due) is what there is to do with the answer: what it is told, and what is
//!    given back at its end. Asks and decision need not be kept for it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request};

use super::{
    Allowance, Limit, LimitCounts, LimitFields, RequestHead, Store,
    allowance::Kind,
    ask::{Ask, Asks, Decision},
    counts::Counters,
    fields::{self, Fields, Policy},
    key::{Key, Keys},
    quota::Period,
    store::Unavailable,
};
use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection},
};

/// One layer's limits, the narrowest first. Clones share the store and the counts.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    held: Vec<Held>,
    store: Store,
    unit: Unit,
    fields: LimitFields,
    policy: Policy,
    have_dues: bool,
}

/// What is counted: said in details, and part of each key, so that a rate of requests and one of
/// tokens that have the same name never share a counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

/// A limit in its place.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) limit: Limit,
    pub(super) name: Arc<str>,
    counters: Arc<Counters>,
    // Of its own allowance, and of each tier's.
    key: Key,
    tier_keys: Vec<Key>,
    // What is the same in the subjects of all requests.
    constant: Key,
    // Counts by the same subject as the one before it.
    follows: bool,
    // The name, as fields of answers have it.
    pub(super) label: Box<str>,
}

impl Limits {
    pub(super) fn new(limit: Limit, unit: Unit) -> Self {
        let mut limits = Self {
            held: Vec::new(),
            store: Store::default(),
            unit,
            fields: LimitFields::default(),
            policy: Policy::default(),
            have_dues: false,
        };
        limits.push(limit);
        limits
    }

    /// Adds a limit at its place in the order, under a name of its own.
    pub(super) fn push(&mut self, limit: Limit) {
        let limit = limit.resolved();
        let name = self.free_name(&limit.name);
        let rank = limit.by.rank();
        let place = self.held.partition_point(|held| held.limit.by.rank() <= rank);
        let held = Held {
            limit,
            name,
            counters: Arc::default(),
            key: Key(0),
            tier_keys: Vec::new(),
            constant: Key(0),
            follows: false,
            label: Box::default(),
        };
        self.held.insert(place, held);
        self.rekey();
    }

    /// Counts in another store from now on.
    pub(super) fn set_store(&mut self, store: Store) {
        self.store = store;
        self.rekey();
    }

    /// Takes over the store, and the counts of the limits of the same names.
    pub(super) fn succeed(&mut self, old: &Self) {
        for held in &mut self.held {
            if let Some(old) = old.named(&held.name) {
                held.counters = Arc::clone(&old.counters);
            }
        }
        self.set_store(old.store.clone());
    }

    /// Tells callers by these fields.
    pub(super) const fn set_fields(&mut self, fields: LimitFields) {
        self.fields = fields;
    }

    pub(super) const fn fields(&self) -> LimitFields {
        self.fields
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a request that passes may owe anything later.
    pub(super) const fn have_dues(&self) -> bool {
        self.have_dues
    }

    /// Whether answers tell of limits.
    pub(super) fn tell(&self) -> bool {
        self.fields != LimitFields::Off
    }

    pub(super) const fn unit(&self) -> Unit {
        self.unit
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    /// In the order of the asks.
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    pub(super) fn named(&self, name: &str) -> Option<&Held> {
        self.held.iter().find(|held| *held.name == *name)
    }

    /// Adds what to ask the store for this request, of each limit `cost`.
    ///
    /// # Errors
    ///
    /// `missing-credentials` where a limit counts by who calls, and that was not proved.
    pub(super) fn asks<B>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
        cost: u64,
        asks: &mut Asks,
    ) -> Result<(), Rejection> {
        let head = RequestHead::new(request, context);
        let keys = self.store.backend().keys();
        let mut subject = None;
        for held in &self.held {
            if !held.follows {
                subject = held.limit.by.subject(&head, keys, held.constant);
            }
            let key = match subject {
                Some(key) => key,
                None if held.limit.enforced => {
                    return Err(Rejection::new(Refusal::MissingCredentials));
                }
                // A limit in shadow stops nobody.
                None => keys.key([b"unknown".as_slice()]),
            };
            // A limit of failures looks on the way in, and is charged on the way back.
            let cost = if held.limit.counts_failures() { 0 } else { cost };
            asks.push(held.ask(key, held.tier(&head), cost));
        }
        Ok(())
    }

    /// Whether the request passes, and what was decided; `None` where nothing could be.
    ///
    /// # Errors
    ///
    /// What to refuse it with.
    pub(super) fn judge<'a>(
        &self,
        asks: &Asks,
        decision: Result<&'a Decision, &Unavailable>,
        context: &RequestContext,
    ) -> Result<Option<&'a Decision>, Rejection> {
        let rejection = match decision {
            Ok(decision) => self.rejection(asks, decision, context),
            Err(Unavailable) => self.unavailable(),
        };
        rejection.map_or(Ok(decision.ok()), Err)
    }

    /// Counts what was decided and notes it in the context. What to refuse the request with, or
    /// `None` where it passes.
    pub(super) fn rejection(
        &self,
        asks: &Asks,
        decision: &Decision,
        context: &RequestContext,
    ) -> Option<Rejection> {
        let (mut first, mut never) = (None, None);
        let mut wait = Duration::ZERO;
        for ((held, ask), standing) in self.held.iter().zip(asks).zip(&decision.standings) {
            held.counters.count(standing.allows, ask.enforced, decision.passes);
            if standing.allows {
                continue;
            }
            if ask.enforced {
                if ask.allowance.never_holds(ask.cost) {
                    never = never.or(Some((held, ask)));
                }
                first = first.or(Some((held, ask, standing)));
                wait = wait.max(standing.wait);
            } else {
                context.set_shadow_limited_by(Arc::clone(&held.name));
            }
        }
        if decision.passes {
            return None;
        }
        let Some((held, ask, standing)) = first else {
            return Some(Rejection::new(Refusal::Throttled).with_retry_after(wait));
        };
        if let Some((held, ask)) = never {
            context.set_limited_by(Arc::clone(&held.name));
            let rejection = Rejection::new(Refusal::ExceedsLimit);
            return Some(if held.limit.shown {
                rejection.with_detail(self.unit.beyond(ask))
            } else {
                rejection
            });
        }
        context.set_limited_by(Arc::clone(&held.name));
        let refusal = match ask.allowance.0 {
            Kind::Quota(_) => Refusal::QuotaExceeded,
            Kind::Rate(_) | Kind::Failures(_) | Kind::Concurrency(_) => Refusal::Throttled,
        };
        let mut rejection = Rejection::new(refusal).with_retry_after(wait);
        if held.limit.shown {
            rejection = rejection.with_detail(self.unit.detail(ask.allowance, standing.most));
        }
        if let Some(fields) = Fields::new(self, asks, decision) {
            let mut headers = HeaderMap::new();
            fields.put(false, &mut headers);
            for (name, value) in &headers {
                rejection = rejection.with_header(name.clone(), value.clone());
            }
        }
        Some(rejection)
    }

    /// What to refuse the request with when the store could not decide. `None` where all limits are
    /// in shadow.
    pub(super) fn unavailable(&self) -> Option<Rejection> {
        let enforced = self.held.iter().any(|held| held.limit.enforced);
        // The store is tried again at least every second.
        let again = Duration::from_secs(1);
        enforced.then(|| Rejection::new(Refusal::ThrottleUnavailable).with_retry_after(again))
    }

    pub(super) fn counts(&self) -> Vec<LimitCounts> {
        self.held.iter().map(|held| held.counters.read(&held.name)).collect()
    }

    fn free_name(&self, wanted: &str) -> Arc<str> {
        let mut name: Arc<str> = wanted.into();
        let mut number = 2_u32;
        while self.named(&name).is_some() {
            name = format!("{wanted}-{number}").into();
            number = number.saturating_add(1);
        }
        name
    }

    fn rekey(&mut self) {
        let keys = self.store.backend().keys();
        let mut before = None;
        for held in &mut self.held {
            let (unit, name) = (self.unit, &held.name);
            let tiers = held.limit.tiers.iter().flat_map(|tiers| tiers.allowances());
            held.tier_keys = tiers.map(|tier| limit_key(keys, unit, name, tier)).collect();
            held.key = limit_key(keys, unit, name, held.limit.allowance);
            held.constant = held.limit.by.constant(keys);
            held.label = fields::label(name).into();
            held.follows = before.is_some_and(|before| held.limit.by.is(before));
            before = Some(&held.limit.by);
        }
        self.policy = Policy::new(&self.held, self.unit);
        self.have_dues = self.held.iter().any(Held::has_dues);
    }
}

/// Part of the key of each counter of a limit. What it counts in is part of it: where a quota becomes
/// a rate, or a day a month, the old state means nothing.
fn limit_key(keys: &Keys, unit: Unit, name: &str, allowance: Allowance) -> Key {
    let kind = match allowance.0 {
        Kind::Rate(_) | Kind::Failures(_) => "rate",
        Kind::Concurrency(_) => "concurrency",
        Kind::Quota(quota) => match quota.period() {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        },
    };
    keys.key([b"limit", unit.name().as_bytes(), name.as_bytes(), kind.as_bytes()])
}

// === impl Held ===

impl Held {
    /// What to ask for a subject of a tier: its place, or `None` for the limit's own numbers.
    pub(super) fn ask(&self, subject: Key, tier: Option<usize>, cost: u64) -> Ask {
        let (allowance, of_limit) = self.allowance(tier);
        Ask {
            key: subject.of_limit(of_limit),
            overflow: of_limit,
            allowance,
            cost,
            enforced: self.limit.enforced,
        }
    }

    /// What a tier allows, and the part of its keys that is the limit's.
    pub(super) fn allowance(&self, tier: Option<usize>) -> (Allowance, Key) {
        let tiers = self.limit.tiers.as_deref();
        let of_tier = tier
            .and_then(|place| Some((tiers?.allowances().nth(place)?, *self.tier_keys.get(place)?)));
        of_tier.unwrap_or((self.limit.allowance, self.key))
    }

    /// How many there are: its own, and its tiers'.
    pub(super) const fn allowances(&self) -> usize {
        self.tier_keys.len() + 1
    }

    /// The tier that was asked for, or another that allows as much.
    pub(super) fn tier_of(&self, ask: &Ask) -> Option<u16> {
        let tiers = self.limit.tiers.as_deref()?;
        if ask.allowance == self.limit.allowance {
            return None;
        }
        let tier = tiers.allowances().position(|allowance| allowance == ask.allowance)?;
        u16::try_from(tier).ok()
    }

    /// The keys of all counters that a subject may have here.
    pub(super) fn keys_of(&self, subject: Key) -> Vec<Key> {
        let of_limit = std::iter::once(&self.key).chain(&self.tier_keys);
        of_limit.map(|of_limit| subject.of_limit(*of_limit)).collect()
    }

    fn has_dues(&self) -> bool {
        let own = std::iter::once(self.limit.allowance);
        let tiers = self.limit.tiers.iter().flat_map(|tiers| tiers.allowances());
        let in_flight = |allowance: Allowance| matches!(allowance.0, Kind::Concurrency(_));
        self.limit.counts_failures() || own.chain(tiers).any(in_flight)
    }

    fn tier(&self, head: &RequestHead<'_>) -> Option<usize> {
        self.limit.tiers.as_deref()?.of(head.identity()?)
    }
}

// === impl Unit ===

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    fn of(self, count: u64) -> String {
        match self {
            Self::Requests if count == 1 => "1 request".to_owned(),
            Self::Tokens if count == 1 => "1 token".to_owned(),
            Self::Requests | Self::Tokens => format!("{count} {}", self.name()),
        }
    }

    /// Why a request never passes, for people.
    fn beyond(self, ask: &Ask) -> String {
        let (cost, most) = (self.of(ask.cost), self.of(ask.allowance.capacity()));
        match self {
            Self::Requests => {
                format!("{cost} at once, where the limit never allows more than {most}")
            }
            Self::Tokens => format!(
                "the prompt and the output limit may take {cost}, and the budget never holds more \
                 than {most}: send a shorter prompt or a smaller output limit"
            ),
        }
    }

    /// What the limit is, for people.
    fn detail(self, allowance: Allowance, most: u64) -> String {
        let of = |count| self.of(count);
        match allowance.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => {
                let (permits, period) = rate.permits();
                let period = match period.as_secs() {
                    1 => "a second",
                    60 => "a minute",
                    3_600 => "an hour",
                    _ => "a day",
                };
                format!("at most {} {period}", of(permits.into()))
            }
            Kind::Quota(quota) => {
                let period = match quota.period() {
                    Period::Day => "a day",
                    Period::Week => "a week",
                    Period::Month => "a month",
                };
                format!("the quota of {} {period} is used up", of(most))
            }
            Kind::Concurrency(concurrency) => {
                format!("at most {} at a time", of(concurrency.most().into()))
            }
        }
    }
}
