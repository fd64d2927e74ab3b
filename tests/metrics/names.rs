//! The names by the rules of Prometheus and OpenTelemetry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower_inference::metrics::{MetricInfo, MetricKind, MetricUnit, Metrics, Names};

#[test]
fn names_are_unique_in_each_set() {
    for names in Names::ALL {
        let all: Vec<_> = MetricInfo::ALL.iter().filter_map(|info| info.name(*names)).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len(), "{names:?}");
    }
}

/// <https://prometheus.io/docs/practices/naming/>
#[test]
fn names_follow_the_rules_of_prometheus() {
    for info in MetricInfo::ALL {
        let Some(name) = info.name(Names::Prometheus) else { continue };
        assert!(name.starts_with("tower_inference_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), info.kind() == MetricKind::Counter, "{name}");
        let base = name.trim_end_matches("_total");
        assert_eq!(base.ends_with("_seconds"), info.unit() == MetricUnit::Seconds, "{name}");
        assert_eq!(base.ends_with("_bytes"), info.unit() == MetricUnit::Bytes, "{name}");
        for suffix in ["_count", "_sum", "_bucket", "_info"] {
            assert!(!name.ends_with(suffix), "{name}");
        }
    }
}

/// Names that OpenTelemetry does not have are not below `gen_ai`.
#[test]
fn names_below_gen_ai_are_those_of_open_telemetry() {
    let known: BTreeSet<&str> = BTreeSet::from([
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.embeddings.duration",
        "gen_ai.client.embeddings.operation.input_tokens",
        "gen_ai.client.token.usage",
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    ]);
    let mut used = BTreeSet::new();
    for names in [Names::OpenTelemetry1_41, Names::OpenTelemetryLatest] {
        for info in MetricInfo::ALL {
            let Some(name) = info.name(names) else { continue };
            if name.starts_with("gen_ai.") {
                assert!(known.contains(name), "{name}");
                used.insert(name);
            } else {
                assert!(name.starts_with("tower_inference."), "{name}");
            }
        }
    }
    assert_eq!(used, known);
}

#[test]
fn no_label_is_a_caller_or_a_path() {
    for names in Names::ALL {
        for label in MetricInfo::ALL.iter().flat_map(|info| info.labels(*names)) {
            let words: Vec<_> = label.split(['.', '_']).collect();
            for forbidden in
                ["principal", "subject", "tenant", "user", "path", "id", "address", "credential"]
            {
                assert!(!words.contains(&forbidden), "{label}");
            }
        }
    }
}

#[test]
fn each_histogram_has_buckets_that_grow() {
    for info in MetricInfo::ALL {
        assert_eq!(info.buckets().is_some(), info.kind() == MetricKind::Histogram, "{info:?}");
        let buckets = info.buckets().unwrap_or_default();
        assert!(buckets.is_sorted_by(|one, next| one < next), "{info:?}");
    }
    let named = |names| Metrics::new().names(names).buckets().count();
    assert_eq!(named(Names::Prometheus), 5);
    assert_eq!(named(Names::OpenTelemetry1_41), 8);
    assert_eq!(named(Names::OpenTelemetryLatest), 12);
}

/// 0.01·2ⁿ and 4ⁿ.
#[test]
fn buckets_are_those_of_the_conventions() {
    use tower_inference::metrics::buckets::{DURATION, TOKENS};
    let is = |bucket: &f64, expected: f64| (bucket - expected).abs() < 1e-9;
    assert!(DURATION.iter().zip(0..).all(|(bucket, n)| is(bucket, 0.01 * f64::powi(2.0, n))));
    assert!(TOKENS.iter().zip(0..).all(|(bucket, n)| is(bucket, f64::powi(4.0, n))));
    assert_eq!((DURATION.last(), TOKENS.last()), (Some(&81.92), Some(&67_108_864.0)));
}

#[test]
fn a_metric_is_found_by_its_name() {
    let found = MetricInfo::find(Names::OpenTelemetryLatest, "gen_ai.server.request.duration");
    let found = found.unwrap();
    assert_eq!(found.name(Names::Prometheus), Some("tower_inference_request_duration_seconds"));
    assert!(MetricInfo::find(Names::Prometheus, "gen_ai.server.request.duration").is_none());
}

/// Keeps the names and the texts of the metrics that are described to it.
#[derive(Default)]
struct Descriptions(Mutex<BTreeMap<String, String>>);

impl Descriptions {
    fn keep(&self, name: &KeyName, text: &SharedString) {
        self.0.lock().unwrap().insert(name.as_str().to_owned(), text.to_string());
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, text: SharedString) {
        self.keep(&name, &text);
    }

    fn describe_gauge(&self, name: KeyName, _unit: Option<Unit>, text: SharedString) {
        self.keep(&name, &text);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, text: SharedString) {
        self.keep(&name, &text);
    }

    fn register_counter(&self, _key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn each_metric_is_described() {
    for names in Names::ALL.iter().copied() {
        let descriptions = Descriptions::default();
        let sink = Metrics::new().names(names);
        metrics::with_local_recorder(&descriptions, || sink.audit_lag(3));
        let expected = MetricInfo::ALL
            .iter()
            .filter_map(|info| Some((info.name(names)?.to_owned(), info.description().to_owned())));
        assert_eq!(*descriptions.0.lock().unwrap(), expected.collect(), "{names:?}");
    }
}
