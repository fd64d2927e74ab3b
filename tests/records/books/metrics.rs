use std::{collections::BTreeMap, sync::Arc};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower_inference::{
    access_log::AccessLogLayer,
    metrics::Metrics,
    record::{Needs, Record, RecordSink},
};

use super::{Book, Sums, Tokens};

/// The counters of a Prometheus.
#[derive(Clone)]
pub struct MetricsBook {
    metrics: Metrics,
    recorder: Arc<PrometheusRecorder>,
}

impl Default for MetricsBook {
    fn default() -> Self {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        Self { metrics: Metrics::new(), recorder }
    }
}

/// `Metrics` with the recorder of this book instead of a global one.
impl RecordSink for MetricsBook {
    fn needs(&self) -> Needs {
        self.metrics.needs()
    }

    fn arrived(&self) {
        metrics::with_local_recorder(&*self.recorder, || self.metrics.arrived());
    }

    fn record(&self, record: &Record<'_>) {
        metrics::with_local_recorder(&*self.recorder, || self.metrics.record(record));
    }
}

/// One series of a scrape.
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

impl Series {
    fn of(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // No value of this run has a comma.
        let labels = labels.strip_suffix('}').unwrap().split(',').filter(|it| !it.is_empty());
        let labels = labels.map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.parse::<f64>().unwrap() as u64,
        }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", |value| value)
    }
}

/// The first digit of a status.
fn class(status: u64) -> u64 {
    status / 100
}

impl Book for MetricsBook {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn join(&self, log: AccessLogLayer) -> AccessLogLayer {
        log.and(self.clone())
    }

    fn sums(&self) -> Sums {
        let page = self.recorder.handle().render();
        let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut sums = Sums::default();
        for series in lines.map(Series::of) {
            let value = series.value;
            match series.name.strip_prefix("tower_inference_").unwrap() {
                "in_flight_requests" => assert_eq!(value, 0, "each arrival has a record"),
                "requests_total" => {
                    let outcome = series.label("outcome").to_owned();
                    *sums.outcomes.entry(outcome).or_default() += value;
                    let refusal = series.label("refusal").to_owned();
                    if !refusal.is_empty() {
                        *sums.refusals.entry(refusal).or_default() += value;
                    }
                    let class = series.label("status").trim_end_matches('x').parse().unwrap_or(0);
                    *sums.statuses.entry(class).or_default() += value;
                }
                "request_bytes_total" => sums.bytes_in += value,
                "response_bytes_total" => sums.bytes_out += value,
                "upstream_attempts_total" => sums.attempts += value,
                "tokens_total" => {
                    let (whole, part) = match series.label("type") {
                        "input" => (&mut sums.tokens.prompt, None),
                        "cached_input" => (&mut sums.tokens.prompt, Some(&mut sums.tokens.cached)),
                        "output" => (&mut sums.tokens.completion, None),
                        "reasoning_output" => {
                            (&mut sums.tokens.completion, Some(&mut sums.tokens.reasoning))
                        }
                        other => panic!("{other}"),
                    };
                    *whole += value;
                    if let Some(part) = part {
                        *part += value;
                    }
                }
                "cache_requests_total" if series.label("result") == "hit" => sums.hits += value,
                _ => {}
            }
        }
        sums
    }

    /// The series have classes of statuses, no decisions, and each token once.
    fn kept(&self, sums: &Sums) -> Sums {
        let mut kept = Sums {
            statuses: BTreeMap::new(),
            decisions: BTreeMap::new(),
            tokens: sums.generated,
            generated: Tokens::default(),
            ..sums.clone()
        };
        for (status, count) in &sums.statuses {
            *kept.statuses.entry(class(*status)).or_default() += count;
        }
        kept
    }
}
