use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{Counter, Histogram, SharedString};

use super::{
    end::End,
    kind::Kind,
    label::Label,
    register::{Registrar, Values},
    slots::Slots,
    table::Metric,
    tokens::TokenHandles,
};
use crate::context::{CacheOutcome, Usage};

/// Ends of one route and model whose handles are kept. The others are looked up by the recorder.
const MAX_ENDS: usize = 32;

/// The time with upstreams by the kind of operation. At most one of them has a name for a request.
const UPSTREAM: [Metric; 3] =
    [Metric::UpstreamDuration, Metric::EmbeddingsDuration, Metric::OperationDuration];

/// The metrics of one kind of request, route and model. A series begins with its first value.
#[derive(Debug)]
pub(super) struct Cell {
    kind: Kind,
    route: Arc<str>,
    model: Arc<str>,
    ends: Slots<End, EndHandles>,
    overhead: OnceLock<Histogram>,
    first_token: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
    first_chunk: OnceLock<Histogram>,
    per_chunk: OnceLock<Histogram>,
    tokens: OnceLock<TokenHandles>,
    bytes: OnceLock<[Counter; 2]>,
    attempts: OnceLock<Counter>,
    fallbacks: OnceLock<Counter>,
    cache: [OnceLock<Counter>; 4],
}

#[derive(Debug)]
struct EndHandles {
    requests: Counter,
    duration: Histogram,
    upstream: OnceLock<[Histogram; UPSTREAM.len()]>,
}

impl EndHandles {
    fn new(registrar: &Registrar, values: Values<'_>) -> Self {
        Self {
            requests: registrar.counter(Metric::Requests, values),
            duration: registrar.histogram(Metric::RequestDuration, values),
            upstream: OnceLock::new(),
        }
    }
}

impl Cell {
    pub(super) fn new(kind: Kind, route: Arc<str>, model: Arc<str>) -> Self {
        Self {
            kind,
            route,
            model,
            ends: Slots::new(MAX_ENDS),
            overhead: OnceLock::new(),
            first_token: OnceLock::new(),
            per_token: OnceLock::new(),
            first_chunk: OnceLock::new(),
            per_chunk: OnceLock::new(),
            tokens: OnceLock::new(),
            bytes: OnceLock::new(),
            attempts: OnceLock::new(),
            fallbacks: OnceLock::new(),
            cache: [const { OnceLock::new() }; 4],
        }
    }

    pub(super) fn end(
        &self,
        registrar: &Registrar,
        hasher: &RandomState,
        end: End,
        total: Duration,
        upstream: Option<Duration>,
    ) {
        let values = || self.values().into_iter().chain(end.values()).collect::<Vec<_>>();
        let record = |handles: &EndHandles| {
            handles.requests.increment(1);
            handles.duration.record(total);
            if let Some(upstream) = upstream {
                let register = || {
                    let values = self.values().into_iter().chain(end.upstream_values());
                    let values: Vec<_> = values.collect();
                    UPSTREAM.map(|metric| registrar.histogram(metric, &values))
                };
                let histograms = handles.upstream.get_or_init(register);
                histograms.iter().for_each(|histogram| histogram.record(upstream));
            }
        };
        let make = || (end, EndHandles::new(registrar, &values()));
        match self.ends.find_or_add(hasher.hash_one(end), |own| *own == end, make) {
            Some(handles) => record(handles),
            None => record(&EndHandles::new(registrar, &values())),
        }
    }

    pub(super) fn overhead(&self, registrar: &Registrar, time: Duration) {
        let register = || registrar.histogram(Metric::OverheadDuration, &self.values());
        self.overhead.get_or_init(register).record(time);
    }

    pub(super) fn first_token(&self, registrar: &Registrar, time: Duration) {
        let register = || registrar.histogram(Metric::TimeToFirstToken, &self.values());
        self.first_token.get_or_init(register).record(time);
    }

    pub(super) fn per_token(&self, registrar: &Registrar, seconds: f64) {
        let register = || registrar.histogram(Metric::TimePerOutputToken, &self.values());
        self.per_token.get_or_init(register).record(seconds);
    }

    pub(super) fn first_chunk(&self, registrar: &Registrar, time: Duration) {
        let register = || registrar.histogram(Metric::TimeToFirstChunk, &self.values());
        self.first_chunk.get_or_init(register).record(time);
    }

    pub(super) fn per_chunk(
        &self,
        registrar: &Registrar,
        times: impl Iterator<Item = (f64, usize)>,
    ) {
        let register = || registrar.histogram(Metric::TimePerOutputChunk, &self.values());
        let histogram = self.per_chunk.get_or_init(register);
        times.for_each(|(seconds, chunks)| histogram.record_many(seconds, chunks));
    }

    pub(super) fn tokens(&self, registrar: &Registrar, usage: &Usage) {
        let register = || TokenHandles::new(registrar, &self.values());
        self.tokens.get_or_init(register).record(usage);
    }

    pub(super) fn bytes(&self, registrar: &Registrar, read: u64, passed_on: u64) {
        let [request, response] = self.bytes.get_or_init(|| {
            let metrics = [Metric::RequestBytes, Metric::ResponseBytes];
            metrics.map(|metric| registrar.counter(metric, &self.values()))
        });
        request.increment(read);
        response.increment(passed_on);
    }

    pub(super) fn attempts(&self, registrar: &Registrar, attempts: u32) {
        let register = || registrar.counter(Metric::Attempts, &self.values());
        self.attempts.get_or_init(register).increment(attempts.into());
    }

    pub(super) fn fallback(&self, registrar: &Registrar) {
        let register = || registrar.counter(Metric::Fallbacks, &self.values());
        self.fallbacks.get_or_init(register).increment(1);
    }

    pub(super) fn cache(&self, registrar: &Registrar, outcome: CacheOutcome) {
        let [hit, miss, follower, bypass] = &self.cache;
        let (counter, result) = match outcome {
            CacheOutcome::Hit => (hit, "hit"),
            CacheOutcome::Miss => (miss, "miss"),
            CacheOutcome::Collapsed => (follower, "follower"),
            CacheOutcome::Bypass => (bypass, "bypass"),
        };
        let register = || {
            let result = (Label::CacheResult, SharedString::const_str(result));
            let values: Vec<_> = self.values().into_iter().chain([result]).collect();
            registrar.counter(Metric::CacheRequests, &values)
        };
        counter.get_or_init(register).increment(1);
    }

    fn values(&self) -> [(Label, SharedString); 4] {
        let Kind { operation, provider } = self.kind;
        [
            (Label::Route, SharedString::from_shared(Arc::clone(&self.route))),
            (Label::Model, SharedString::from_shared(Arc::clone(&self.model))),
            (Label::Operation, SharedString::const_str(operation)),
            (Label::Provider, SharedString::const_str(provider)),
        ]
    }
}
