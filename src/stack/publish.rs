//! The state of a stack as metrics.

use std::{collections::BTreeMap, time::Duration};

use metrics::SharedString;

use super::snapshot::Snapshot;
use crate::metrics::{
    Label,
    Metric::{self, *},
    Metrics,
};

impl Snapshot {
    /// Sets the gauges and the sums of `metrics` to this state. Call it before the recorder is read.
    ///
    /// Values that the stack does not have are left as they are, so that several stacks with different
    /// layers can share one `metrics`.
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use tower_inference::{metrics::Metrics, stack::Stack, upstream::UpstreamLayer};
    ///
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let metrics = Metrics::new();
    /// let stack = Stack::new().upstream(UpstreamLayer::new());
    /// // A program calls `metrics::set_global_recorder(recorder)` instead.
    /// metrics::with_local_recorder(&recorder, || stack.snapshot().publish(&metrics));
    /// assert!(recorder.handle().render().contains("tower_inference_upstream_slots 1024"));
    /// ```
    pub fn publish(&self, metrics: &Metrics) {
        let gauge = |metric: Metric, value: Option<f64>| {
            if let Some(value) = value {
                metrics.set_gauge(metric, &[], value);
            }
        };
        let count = |count: Option<usize>| count.map(|count| count as f64);
        gauge(OpenResponses, count(self.open_responses()));
        gauge(PayloadBytes, count(self.payload_bytes()));
        gauge(PayloadMaxBytes, count(self.max_payload_bytes()));
        gauge(CacheEntries, count(self.cache_entries()));
        gauge(CacheBytes, self.cache_bytes().map(|bytes| bytes as f64));
        gauge(CacheMaxBytes, self.max_cache_bytes().map(|bytes| bytes as f64));
        gauge(CacheInFlight, count(self.cache_in_flight()));
        gauge(UpstreamInFlight, count(self.upstream_in_flight()));
        gauge(UpstreamSlots, count(self.max_upstream_in_flight()));
        gauge(UpstreamQueued, count(self.upstream_queued()));
        self.publish_sources(metrics);
        self.publish_targets(metrics);
        #[cfg(feature = "cache")]
        self.publish_savings(metrics);
        #[cfg(feature = "throttle")]
        for (layer, counts) in self.limits() {
            metrics.limits(layer, std::slice::from_ref(counts));
        }
    }

    fn publish_sources(&self, metrics: &Metrics) {
        // Issuers that share a server or the name of a file share a name. The oldest set stands for both.
        let mut sets: BTreeMap<&str, (Option<Duration>, bool, u64)> = BTreeMap::new();
        for set in self.key_sets() {
            // The folder of a file is nothing that a dashboard needs.
            let name = set.name.rsplit('/').next().unwrap_or_default();
            let (age, is_ready, failures) = sets.entry(name).or_insert((None, true, 0));
            *age = (*age).max(set.age);
            *is_ready &= set.is_ready;
            *failures += set.failures;
        }
        for (name, (age, is_ready, failures)) in sets {
            let values = [(Label::Keys, SharedString::from_owned(name.to_owned()))];
            if let Some(age) = age {
                metrics.set_gauge(KeysAge, &values, age.as_secs_f64());
            }
            metrics.set_gauge(KeysReady, &values, flag(is_ready));
            metrics.set_counter(KeysFailures, &values, failures);
        }
        for token in self.tokens() {
            let values = [(Label::Target, SharedString::from_shared(token.stage.clone()))];
            if let Some(age) = token.age {
                metrics.set_gauge(TokenAge, &values, age.as_secs_f64());
            }
            metrics.set_gauge(TokenReady, &values, flag(token.is_ready));
            metrics.set_counter(TokenFailures, &values, token.failures);
        }
    }

    fn publish_targets(&self, metrics: &Metrics) {
        for target in self.targets() {
            let values = [(Label::Target, SharedString::from_shared(target.name.clone()))];
            metrics.set_gauge(TargetInFlight, &values, target.in_flight as f64);
            metrics.set_gauge(TargetQueued, &values, target.queued as f64);
            metrics.set_gauge(TargetCoolingDown, &values, flag(target.is_cooling_down));
        }
    }

    /// Sums over the models of a route, because clients choose their names.
    #[cfg(feature = "cache")]
    fn publish_savings(&self, metrics: &Metrics) {
        let mut routes: BTreeMap<&str, (u64, u64, u64, Duration)> = BTreeMap::new();
        for counts in self.cache_counts() {
            let (stored, evicted, tokens, time) = routes.entry(&counts.route).or_default();
            *stored += counts.stored;
            *evicted += counts.evicted;
            *tokens += counts.saved_tokens;
            *time += counts.saved_time;
        }
        for (route, (stored, evicted, tokens, time)) in routes {
            let values = [(Label::Route, SharedString::from_owned(route.to_owned()))];
            metrics.set_counter(CacheStored, &values, stored);
            metrics.set_counter(CacheEvicted, &values, evicted);
            metrics.set_counter(CacheSavedTokens, &values, tokens);
            metrics.set_counter(CacheSavedTime, &values, time.as_secs());
        }
    }
}

const fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
