//! Sinks that keep the books of a run in ways of their own, to be compared.

mod audit;
mod metrics;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tower_inference::{
    access_log::{AccessLogLayer, Format, Lines, Sink},
    context::Usage,
    record::{Record, RecordSink},
};

use crate::written::Written;

/// The sums over all records of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    pub outcomes: BTreeMap<String, u64>,
    pub refusals: BTreeMap<String, u64>,
    pub decisions: BTreeMap<String, u64>,
    pub statuses: BTreeMap<u64, u64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub attempts: u64,
    pub tokens: Tokens,
    /// Those of the records whose request the upstream generated for.
    pub generated: Tokens,
    pub hits: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
    pub reasoning: u64,
}

impl Tokens {
    fn add(&mut self, usage: &Usage) {
        self.prompt += usage.prompt_tokens.unwrap_or_default();
        self.completion += usage.completion_tokens.unwrap_or_default();
        self.cached += usage.cached_tokens.unwrap_or_default();
        self.reasoning += usage.reasoning_tokens.unwrap_or_default();
    }
}

/// A sink whose sums are known after the run.
pub trait Book {
    fn name(&self) -> &'static str;
    fn join(&self, log: AccessLogLayer) -> AccessLogLayer;
    fn sums(&self) -> Sums;

    /// The ids of the requests, if it has them.
    fn ids(&self) -> Option<Vec<String>> {
        None
    }

    /// The part of these sums that it keeps.
    fn kept(&self, sums: &Sums) -> Sums {
        sums.clone()
    }
}

/// Every book of the proof. Another sink is one more line.
pub fn all() -> Vec<Box<dyn Book>> {
    vec![
        Box::new(CountingBook::default()),
        Box::new(JsonBook::default()),
        Box::new(audit::AuditBook::default()),
        Box::new(metrics::MetricsBook::default()),
    ]
}

/// The lines of the JSON log.
#[derive(Default)]
pub struct JsonBook {
    written: Written,
    sink: Mutex<Option<Sink>>,
}

impl Book for JsonBook {
    fn name(&self) -> &'static str {
        "JSON log"
    }

    fn join(&self, log: AccessLogLayer) -> AccessLogLayer {
        let sink = Sink::new(self.written.clone()).unwrap().max_lines(100_000).max_bytes(1 << 28);
        let sink = sink.drain_timeout(Duration::from_secs(60));
        *self.sink.lock().unwrap() = Some(sink.clone());
        log.and(Lines::new(sink, Format::json().more_fields(["decisions"]).unwrap()))
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.lines().iter().for_each(|line| sums.add(line));
        sums
    }

    fn ids(&self) -> Option<Vec<String>> {
        Some(self.lines().iter().map(id).collect())
    }

    fn kept(&self, sums: &Sums) -> Sums {
        Sums { generated: Tokens::default(), ..sums.clone() }
    }
}

impl JsonBook {
    fn lines(&self) -> Vec<Value> {
        assert!(self.sink.lock().unwrap().as_ref().unwrap().flush());
        self.written.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn id(line: &Value) -> String {
    line["request_id"].as_str().unwrap().to_owned()
}

impl Sums {
    /// Adds a record as a line of JSON. The log and the audit trail have the same names.
    fn add(&mut self, line: &Value) {
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        let count = |into: &mut BTreeMap<String, u64>, name: &str| {
            if let Some(value) = line[name].as_str() {
                *into.entry(value.to_owned()).or_default() += 1;
            }
        };
        count(&mut self.outcomes, "outcome");
        count(&mut self.refusals, "refusal");
        count(&mut self.decisions, "decisions");
        *self.statuses.entry(number("status")).or_default() += 1;
        self.bytes_in += number("bytes_in");
        self.bytes_out += number("bytes_out");
        self.attempts += number("attempts");
        let tokens = |name: &str| line["usage"][name].as_u64().unwrap_or_default();
        self.tokens.prompt += tokens("prompt_tokens");
        self.tokens.completion += tokens("completion_tokens");
        self.tokens.cached += tokens("cached_tokens");
        self.tokens.reasoning += tokens("reasoning_tokens");
        self.hits += u64::from(line["cache"] == "hit");
    }
}

/// Counts in memory.
#[derive(Clone, Default)]
pub struct CountingBook(Arc<Mutex<(Sums, u64)>>);

impl RecordSink for CountingBook {
    fn arrived(&self) {
        self.0.lock().unwrap().1 += 1;
    }

    fn record(&self, record: &Record<'_>) {
        let mut book = self.0.lock().unwrap();
        let sums = &mut book.0;
        *sums.outcomes.entry(record.outcome().as_str().to_owned()).or_default() += 1;
        if let Some(refusal) = record.refusal() {
            *sums.refusals.entry(refusal.to_owned()).or_default() += 1;
        }
        let decisions = record.decisions();
        if !decisions.is_empty() {
            *sums.decisions.entry(decisions.to_string()).or_default() += 1;
        }
        let status = record.status().map_or(0, |status| u64::from(status.as_u16()));
        *sums.statuses.entry(status).or_default() += 1;
        sums.bytes_in += record.bytes_in();
        sums.bytes_out += record.bytes_out();
        sums.attempts += u64::from(record.attempts());
        let usage = record.usage().unwrap_or_default();
        sums.tokens.add(&usage);
        if record.is_generated() {
            sums.generated.add(&usage);
        }
        let hit = tower_inference::context::CacheOutcome::Hit;
        sums.hits += u64::from(record.cache() == Some(hit));
    }
}

impl Book for CountingBook {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn join(&self, log: AccessLogLayer) -> AccessLogLayer {
        log.and(self.clone())
    }

    fn sums(&self) -> Sums {
        let (sums, arrived) = self.0.lock().unwrap().clone();
        assert_eq!(arrived, sums.outcomes.values().sum::<u64>(), "each arrival has a record");
        sums
    }
}
