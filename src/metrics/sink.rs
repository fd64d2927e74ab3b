use std::{
    borrow::Cow,
    fmt,
    hash::BuildHasher as _,
    sync::{Arc, OnceLock},
};

use metrics::{Counter, Gauge, SharedString};

use super::{
    cell::Cell,
    cells::{Cells, OTHER, OtherModel},
    end::End,
    info::MetricInfo,
    kind::Kind,
    label::Label,
    names::Names,
    register::{Registrar, Values},
    slots::Slots,
    table::Metric,
    timing::{overhead, per_output_token},
};
use crate::{
    context::{AbandonReason, CacheOutcome},
    record::{Needs, OTHER_PROVIDER, Record, RecordSink},
};

/// Names of limits and of targets that have a label of their own. The program chooses them.
const MAX_NAMES: usize = 128;
/// More models than a recorder can show. The table of their series has its memory from the start.
const MOST_MODELS: usize = 10_000;

/// Counts and times requests with the `metrics` facade.
///
/// It is a [`RecordSink`], so a request is counted once, at its true end, with the facts of its access
/// log. See the [module docs](super) for an example.
///
/// A series is registered with the recorder of the moment when its first value comes: the recorder of
/// the calling thread, or the global one. Install the recorder before the first request. A series that
/// was registered without a recorder stays without one.
///
/// Clones are the same sink. A setter makes a new one, so call the setters first.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Settings {
    registrar: Registrar,
    max_models: usize,
    models: Vec<Box<str>>,
}

struct Shared {
    settings: Settings,
    // Set once the metrics are described.
    in_flight: OnceLock<Gauge>,
    cells: Cells,
    limits: Slots<(Arc<str>, &'static str), Counter>,
    abandoned: Slots<(Arc<str>, AbandonReason), Counter>,
    other_models: [OnceLock<Counter>; OtherModel::ALL.len()],
}

impl Metrics {
    /// Creates a sink with the names of Prometheus.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Settings {
            registrar: Registrar {
                names: Names::default(),
                provider: Cow::Borrowed(OTHER_PROVIDER),
                gateway: Cow::Borrowed(""),
            },
            max_models: 100,
            models: Vec::new(),
        })
    }

    /// Sets the names. Defaults to [`Names::Prometheus`].
    #[must_use]
    pub fn names(self, names: Names) -> Self {
        self.set(|settings| settings.registrar.names = names)
    }

    /// Sets `gen_ai.provider.name` of requests whose [provider](Record::provider) is not known, and of
    /// those that reached no upstream. The names of OpenTelemetry have it as a label. Defaults to `_OTHER`.
    #[must_use]
    pub fn provider(self, provider: impl Into<Cow<'static, str>>) -> Self {
        self.set(|settings| settings.registrar.provider = provider.into())
    }

    /// Names the gateway in the label `gateway` of each series. By default there is no such label.
    ///
    /// Several gateways of one process share the recorder. Give each a `Metrics` with a name, or the
    /// gauges and sums that one [publishes](crate::stack::Snapshot::publish) replace those of another.
    #[must_use]
    pub fn gateway(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.set(|settings| settings.registrar.gateway = name.into())
    }

    /// Sets how many models have a label of their own. Defaults to 100. 10,000 at most.
    ///
    /// Twice as many pairs of route and model have series of their own. With the names of OpenTelemetry the
    /// operation and the provider are parts of such a pair. The model of all others is `other`.
    #[must_use]
    pub fn max_models(self, models: usize) -> Self {
        self.set(|settings| settings.max_models = models.min(MOST_MODELS))
    }

    /// Gives these models a label from the start. They count for [`max_models`](Self::max_models).
    ///
    /// By default a model gets its label with the first request for it that succeeds.
    #[must_use]
    pub fn models<M: Into<Box<str>>>(self, models: impl IntoIterator<Item = M>) -> Self {
        self.set(|settings| settings.models.extend(models.into_iter().map(Into::into)))
    }

    /// Returns the names of the histograms with the upper bounds of their buckets, for the recorder.
    pub fn buckets(&self) -> impl Iterator<Item = (&'static str, &'static [f64])> {
        let names = self.shared.settings.registrar.names;
        MetricInfo::ALL.iter().filter_map(move |info| Some((info.name(names)?, info.buckets()?)))
    }

    fn of(settings: Settings) -> Self {
        let cells = Cells::new(settings.max_models, &settings.models);
        let shared = Shared {
            settings,
            in_flight: OnceLock::new(),
            cells,
            limits: Slots::new(MAX_NAMES),
            abandoned: Slots::new(MAX_NAMES),
            other_models: [const { OnceLock::new() }; OtherModel::ALL.len()],
        };
        Self { shared: Arc::new(shared) }
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Self::of(settings)
    }

    /// Sets the value of a gauge.
    pub(crate) fn set_gauge(&self, metric: Metric, values: Values<'_>, value: f64) {
        let _described = self.shared.in_flight();
        self.shared.settings.registrar.gauge(metric, values).set(value);
    }

    /// Sets a counter to a sum that something else keeps. A smaller sum changes nothing.
    pub(crate) fn set_counter(&self, metric: Metric, values: Values<'_>, sum: u64) {
        let _described = self.shared.in_flight();
        self.shared.settings.registrar.counter(metric, values).absolute(sum);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordSink for Metrics {
    fn needs(&self) -> Needs {
        // The names of Prometheus have no metric of chunks.
        let chunk_times = !self.shared.settings.registrar.names.is_prometheus();
        Needs { chunk_times, ..Needs::NONE }
    }

    fn arrived(&self) {
        self.shared.in_flight().increment(1.0);
    }

    fn record(&self, record: &Record<'_>) {
        let Shared { settings: Settings { registrar, .. }, cells, .. } = &*self.shared;
        self.shared.in_flight().decrement(1.0);
        let end = End::of(record);
        let route = record.route().unwrap_or_default();
        let kind = if registrar.names.is_prometheus() { Kind::default() } else { Kind::of(record) };
        let (cell, other) = cells.of(kind, route, record.model(), end.is_success());
        if let Some(reason) = other {
            self.shared.count_other_model(reason);
        }
        let (total, upstream) = (record.total(), record.upstream_time());
        cell.end(registrar, cells.hasher(), end, total, upstream);
        // A follower waits for the upstream without an attempt of its own.
        if record.cache() != Some(CacheOutcome::Collapsed) {
            cell.overhead(registrar, overhead(total, upstream));
        }
        cell.bytes(registrar, record.bytes_in(), record.bytes_out());
        // The response of a hit or a follower is that of another request, which has counted it.
        if record.is_generated() {
            record_generation(registrar, cell, record);
        }
        if let Some(cache) = record.cache() {
            cell.cache(registrar, cache);
        }
        let attempts = record.attempts();
        if attempts > 0 {
            cell.attempts(registrar, attempts);
        }
        if record.fell_back() {
            cell.fallback(registrar);
        }
        for attempt in record.attempt_list() {
            if let (Some(target), Some(reason)) = (&attempt.target, attempt.abandoned) {
                self.shared.count_abandoned(target, reason);
            }
        }
        for (limit, mode) in [(record.limit(), "enforced"), (record.limit_shadow(), "shadow")] {
            if let Some(limit) = limit {
                self.shared.count_limited(limit, mode);
            }
        }
    }
}

/// Records what the upstream generated and how fast.
fn record_generation(registrar: &Registrar, cell: &Cell, record: &Record<'_>) {
    let usage = record.usage();
    if let Some(usage) = &usage {
        cell.tokens(registrar, usage);
    }
    if let Some(first) = record.first_token_after() {
        cell.first_token(registrar, first);
        let output = usage.and_then(|usage| usage.completion_tokens).unwrap_or_default();
        if let Some(seconds) = per_output_token(record.total(), first, output) {
            cell.per_token(registrar, seconds);
        }
    }
    if let Some(first) = record.time_to_first_chunk() {
        cell.first_chunk(registrar, first);
        cell.per_chunk(registrar, record.chunk_times());
    }
}

impl Shared {
    /// Returns the gauge of requests in flight. Describes all metrics first.
    fn in_flight(&self) -> &Gauge {
        self.in_flight.get_or_init(|| {
            self.settings.registrar.describe();
            self.settings.registrar.gauge(Metric::InFlight, &[])
        })
    }

    fn count_other_model(&self, reason: OtherModel) {
        let Some(counter) = self.other_models.get(reason as usize) else { return };
        let register = || {
            let reason = (Label::Reason, SharedString::const_str(reason.as_str()));
            self.settings.registrar.counter(Metric::OtherModels, &[reason])
        };
        counter.get_or_init(register).increment(1);
    }

    fn count_limited(&self, limit: &str, mode: &'static str) {
        let register = |limit: &Arc<str>| {
            let limit = (Label::Limit, SharedString::from_shared(Arc::clone(limit)));
            let mode = (Label::Mode, SharedString::const_str(mode));
            self.settings.registrar.counter(Metric::LimitedRequests, &[limit, mode])
        };
        let make = || {
            let limit: Arc<str> = limit.into();
            let counter = register(&limit);
            ((limit, mode), counter)
        };
        let hash = self.cells.hasher().hash_one((limit, mode));
        let is = |(own, of): &(Arc<str>, &str)| **own == *limit && *of == mode;
        match self.limits.find_or_add(hash, is, make) {
            Some(counter) => counter.increment(1),
            None => register(&OTHER.into()).increment(1),
        }
    }

    fn count_abandoned(&self, target: &Arc<str>, reason: AbandonReason) {
        let register = |target: &Arc<str>| {
            let target = (Label::Target, SharedString::from_shared(Arc::clone(target)));
            let reason = (Label::Reason, SharedString::const_str(reason.as_str()));
            self.settings.registrar.counter(Metric::AbandonedAttempts, &[target, reason])
        };
        let make = || ((Arc::clone(target), reason), register(target));
        let hash = self.cells.hasher().hash_one((&**target, reason));
        let is = |(own, of): &(Arc<str>, AbandonReason)| *own == *target && *of == reason;
        match self.abandoned.find_or_add(hash, is, make) {
            Some(counter) => counter.increment(1),
            None => register(&OTHER.into()).increment(1),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { registrar, max_models, .. } = &self.shared.settings;
        f.debug_struct("Metrics")
            .field("names", &registrar.names)
            .field("max_models", max_models)
            .finish_non_exhaustive()
    }
}
