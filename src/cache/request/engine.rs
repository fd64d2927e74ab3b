use std::{sync::Arc, time::Duration};

use http::Request;

use super::lookup::Lookup;
use crate::{
    cache::{
        counts::{CacheCounts, CounterTable, EventCounters},
        entry::{Entry, EntryState, Memory, converted},
        flight::{Admission, FlightTable},
        key::{
            EntryKey, Invalidations, RequestHeaders, RequestKey, SpellingSecret, Tag, Validity,
            Variant, tags,
        },
        policy::BypassReason,
        scope::ScopeName,
        settings::Settings,
        tier::monotonic,
        warnings::Warnings,
    },
    context::RequestContext,
    payload::Payload,
};

/// The settings of a layer, its entries and its calls in flight. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    settings: Arc<Settings>,
    state: Arc<EngineState>,
}

#[derive(Debug)]
struct EngineState {
    memory: Memory,
    invalidations: Invalidations,
    flights: FlightTable,
    counts: CounterTable,
    warnings: Warnings,
}

/// The number of invalidated names. One more invalidates everything.
const MAX_INVALIDATED: usize = 1_024;

impl Engine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { state: Arc::new(EngineState::new(&settings)), settings: Arc::new(settings) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        let settings = Arc::make_mut(&mut self.settings);
        settings.spelling_secret = SpellingSecret::random();
        settings
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.state.memory
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.state.flights.len()
    }

    pub(crate) fn counts(&self) -> Vec<CacheCounts> {
        self.state.counts.read()
    }

    /// Returns an engine with the same settings and without entries.
    pub(crate) fn emptied(self) -> Self {
        Self { state: Arc::new(EngineState::new(&self.settings)), settings: self.settings }
    }

    /// Logs once that the place or the scope of the layer makes requests bypass it. Returns whether
    /// this is the reason.
    pub(super) fn warn_of(&self, reason: BypassReason) -> bool {
        match reason {
            BypassReason::UnverifiedCredentials => self.state.warnings.without_identity(),
            BypassReason::NoTenant => self.state.warnings.without_tenant(),
            _ => return false,
        }
        true
    }

    // === Requests ===

    pub(super) fn now(&self) -> Duration {
        monotonic(&self.settings.clock)
    }

    /// Returns everything that makes the key of a request.
    pub(super) fn request_key<'a>(
        &'a self,
        request: &'a Request<Payload>,
        headers: &'a RequestHeaders<'a>,
        scope: &'a ScopeName<'a>,
    ) -> RequestKey<'a> {
        let Settings { namespace, key, .. } = &*self.settings;
        RequestKey { request, headers, scope, namespace, settings: key }
    }

    /// Returns the validity of a call that begins now.
    pub(super) fn validity(
        &self,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Validity {
        // The clock is read first, so that invalidations from now on concern the call.
        let since = self.state.invalidations.now();
        Validity { since, tags: tags(&self.settings.key_secret, request, context) }
    }

    /// Returns the counters of a request, which are usually those of the entry that was found for it.
    pub(super) fn counters(
        &self,
        context: &RequestContext,
        found: Option<&Entry>,
    ) -> Arc<EventCounters> {
        let route = context.route().unwrap_or_default();
        let model = context.model().unwrap_or_default();
        let of_entry = found.map(|entry| &entry.origin.counters);
        match of_entry.filter(|counters| counters.are_of(route, model)) {
            Some(counters) => Arc::clone(counters),
            None => self.state.counts.of(route, model),
        }
    }

    /// Looks for an entry in memory, or for another variant of it that can be converted.
    pub(super) fn find(&self, lookup: &Lookup, now: Duration) -> Option<(Entry, EntryState)> {
        let EngineState { memory, invalidations, .. } = &*self.state;
        let found = memory.find(lookup.key, lookup.spelling, now, invalidations);
        if found.is_some() {
            return found;
        }
        let find = |key| memory.find(key, None, now, invalidations);
        let (key, variant) = lookup.key;
        let others = Variant::ALL.into_iter().filter(|other| lookup.chat && *other != variant);
        let mut finished = others.filter_map(|other| Some((other, find((key, other))?)));
        finished.find_map(|(other, (entry, state))| {
            let entry = converted(&entry, other, variant)?;
            memory.insert(lookup.key, entry.clone(), self.settings.memory.compress_above);
            // An invalidation meanwhile may have come before the insertion.
            if find((key, other)).is_none() {
                memory.remove(lookup.key);
            }
            Some((entry, state))
        })
    }

    /// Joins the flight for a request or begins one.
    pub(super) fn admit(
        &self,
        lookup: &Lookup,
        validity: &Validity,
        context: &RequestContext,
    ) -> Admission<Entry> {
        let Settings { shared_calls, memory, .. } = &*self.settings;
        let bounds = shared_calls.bounds(memory.max_entry_bytes);
        let limits = (shared_calls.max_in_flight, bounds, &shared_calls.memory);
        let EngineState { memory, invalidations, flights, .. } = &*self.state;
        flights.admit(lookup.key, limits, validity, invalidations, || {
            let now = self.now();
            let (entry, _) = memory.find(lookup.key, None, now, invalidations)?;
            let is_served = lookup.control.accepts(&entry, now) && entry.is_allowed(context);
            is_served.then_some(entry)
        })
    }

    pub(super) fn is_in_flight(&self, key: EntryKey) -> bool {
        self.state.flights.is_in_flight(key)
    }

    /// Removes a flight from the table.
    pub(super) fn unlist(&self, key: EntryKey, number: u64) {
        self.state.flights.remove(key, Some(number));
    }

    /// Stores the entry of a flight. Returns `false` if it was invalidated or is too large.
    pub(super) fn store(&self, key: EntryKey, number: u64, entry: Entry) -> bool {
        let EngineState { memory, invalidations, flights, .. } = &*self.state;
        let valid = invalidations.is_valid(&entry.origin.validity);
        let compress_above = self.settings.memory.compress_above;
        let listed = valid && flights.is_listed(key, number);
        if !listed || !memory.insert(key, entry, compress_above) {
            return false;
        }
        // An invalidation meanwhile may have come before the insertion.
        let listed = flights.is_listed(key, number);
        if !listed {
            memory.remove(key);
        }
        listed
    }

    // === Invalidation ===

    pub(crate) fn invalidate(&self, request: &Request<Payload>) {
        let context = RequestContext::of(request.extensions());
        let identity = context.and_then(RequestContext::identity);
        let headers = RequestHeaders::of(request.headers(), &self.settings.key.headers);
        let scope = self.settings.scope.of(request, identity.as_deref());
        let key = scope.and_then(|scope| {
            self.request_key(request, &headers, &scope).entry_key(&self.settings.key_secret)
        });
        let Some((key, _)) = key else { return };
        if let Some(tier) = &self.settings.second_tier {
            tier.invalidate(key);
        }
        // Twice, because one variant may be converted to another meanwhile.
        for variant in Variant::ALL.into_iter().chain(Variant::ALL) {
            // The flight first, so that its entry is not stored afterwards.
            self.state.flights.remove((key, variant), None);
            self.state.memory.remove((key, variant));
        }
    }

    /// Invalidates a tag. The second tier comes first, so that no entry of before is copied from
    /// there afterwards.
    pub(crate) fn invalidate_tag(&self, tag: Tag) {
        if let Some(tier) = &self.settings.second_tier {
            tier.invalidate_tag(Some(tag));
        }
        self.state.invalidations.invalidate(tag);
    }

    pub(crate) fn invalidate_all(&self) {
        if let Some(tier) = &self.settings.second_tier {
            tier.invalidate_tag(None);
        }
        self.state.invalidations.invalidate_all();
    }
}

impl EngineState {
    fn new(settings: &Settings) -> Self {
        Self {
            memory: Memory::new(settings.memory.max_bytes, settings.memory.max_entry_bytes),
            invalidations: Invalidations::new(MAX_INVALIDATED),
            flights: FlightTable::new(),
            counts: CounterTable::default(),
            warnings: Warnings::default(),
        }
    }
}
