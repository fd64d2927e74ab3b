//! The metrics and the records of the same requests have the same sums.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use proptest::prelude::*;
use tower::ServiceExt;
use tower_inference::{
    access_log::AccessLogLayer,
    context::{AbandonReason, Attempt, CacheOutcome, Outcome, StreamEnd},
    metrics::Metrics,
    record::{Record, RequestOutcome},
    rejection::Refusal,
};

use super::{Scrape, Script, outcome, recorder, request, scripted, usage, with};

/// What a record says in numbers.
#[derive(Clone, Debug, Default)]
struct Sums {
    outcomes: Vec<(RequestOutcome, u64)>,
    refusals: u64,
    bytes: u64,
    attempts: u64,
    abandoned: u64,
    fallbacks: u64,
    tokens: u64,
    cached: u64,
    hits: u64,
    limited: u64,
    seconds: f64,
}

impl Sums {
    fn add(&mut self, record: &Record<'_>) {
        match self.outcomes.iter_mut().find(|(outcome, _)| *outcome == record.outcome()) {
            Some((_, count)) => *count += 1,
            None => self.outcomes.push((record.outcome(), 1)),
        }
        self.refusals += u64::from(record.refusal().is_some());
        self.bytes += record.bytes_in() + record.bytes_out();
        self.attempts += u64::from(record.attempts());
        self.abandoned +=
            record.attempt_list().filter(|attempt| attempt.abandoned.is_some()).count() as u64;
        self.fallbacks += u64::from(record.fell_back());
        // The tokens of a hit and a follower are those of another request.
        let is_own = !matches!(record.cache(), Some(CacheOutcome::Hit | CacheOutcome::Collapsed));
        let usage = record.usage().filter(|_| is_own).unwrap_or_default();
        let input = usage.prompt_tokens.unwrap_or_default();
        self.tokens += input + usage.completion_tokens.unwrap_or_default();
        self.cached += usage.cached_tokens.unwrap_or_default().min(input);
        self.hits += u64::from(record.cache() == Some(CacheOutcome::Hit));
        self.limited += u64::from(record.limit().is_some());
        self.seconds += record.total().as_secs_f64();
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let refusal = prop::option::weighted(0.3, prop::sample::select(Refusal::ALL));
    let cache = prop::option::of(prop::sample::select(vec![
        CacheOutcome::Hit,
        CacheOutcome::Miss,
        CacheOutcome::Collapsed,
        CacheOutcome::Bypass,
    ]));
    let end = prop::option::of(prop::sample::select(vec![StreamEnd::Done, StreamEnd::Cut]));
    let tokens = prop::option::of((0..9_u64, 0..20_u64, 0..9_u64, 0..20_u64));
    let abandoned = prop::collection::vec(
        prop::sample::select(vec![AbandonReason::Status, AbandonReason::Timeout]),
        0..3,
    );
    let flags = (any::<bool>(), prop::option::of(0..200_u8));
    (refusal, cache, end, tokens, abandoned, 0..4_u32, 0..100_u64, flags).prop_map(
        |(refusal, cache, end, tokens, abandoned, attempts, bytes_in, (fell_back, limit))| {
            outcome(|outcome| {
                outcome.rejection = refusal.map(Refusal::slug);
                outcome.cache = cache;
                outcome.stream_end = end;
                outcome.usage = tokens
                    .and_then(|(input, cached, output, other)| usage(input, cached, output, other));
                let attempt = |reason| Attempt::abandoned("a".into(), reason);
                outcome.abandoned = abandoned.into_iter().map(attempt).collect();
                outcome.attempts = attempts;
                outcome.bytes_in = bytes_in;
                outcome.fell_back = fell_back;
                outcome.limited_by = limit.map(|limit| format!("limit-{limit}").into());
            })
        },
    )
}

fn scripts() -> impl Strategy<Value = (Script, bool)> {
    let route = prop::option::of(prop::sample::select(vec!["chat", "embeddings", "rerank"]));
    let model = prop::option::of("[a-c]|org/[a-z]{1,2}|x \n");
    let status = prop::sample::select(vec![200_u16, 201, 302, 400, 404, 429, 500, 503]);
    let body = prop::sample::select(vec!["", "hello"]);
    (route, model, status, body, outcomes(), any::<bool>()).prop_map(
        |(route, model, status, body, outcome, leaves)| {
            (Script { path: "", route, model, status, body, outcome }, leaves)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn metrics_agree_with_records(scripts in prop::collection::vec(scripts(), 0..60)) {
        let metrics = Metrics::new().max_models(5);
        let recorder = recorder(&metrics);
        let sums = Arc::new(Mutex::new(Sums::default()));
        let of_records = Arc::clone(&sums);
        let layer = AccessLogLayer::sink(metrics)
            .and(move |record: &Record<'_>| of_records.lock().unwrap().add(record));
        let requests = scripts.len() as f64;
        with(&recorder, async {
            let service = scripted(layer);
            for (script, leaves) in scripts {
                let Ok(response) = service.clone().oneshot(request(script)).await;
                if !leaves {
                    let _ended = response.into_body().collect().await;
                }
            }
        });
        let (scrape, sums) = (Scrape::of(&recorder), sums.lock().unwrap().clone());
        let sum = |name: &str, labels: &[&str]| scrape.sum(&format!("tower_inference_{name}"), labels);
        prop_assert_eq!(sum("requests_total", &[]), requests);
        for (outcome, count) in &sums.outcomes {
            let label = format!("outcome=\"{}\"", outcome.as_str());
            prop_assert_eq!(sum("requests_total", &[&label]), *count as f64);
            prop_assert_eq!(sum("request_duration_seconds_count", &[&label]), *count as f64);
        }
        let accepted = sum("requests_total", &["refusal=\"\""]);
        prop_assert_eq!(requests - accepted, sums.refusals as f64);
        let bytes = sum("request_bytes_total", &[]) + sum("response_bytes_total", &[]);
        prop_assert_eq!(bytes, sums.bytes as f64);
        prop_assert_eq!(sum("upstream_attempts_total", &[]), sums.attempts as f64);
        prop_assert_eq!(sum("abandoned_attempts_total", &[]), sums.abandoned as f64);
        prop_assert_eq!(sum("fallbacks_total", &[]), sums.fallbacks as f64);
        prop_assert_eq!(sum("tokens_total", &[]), sums.tokens as f64);
        prop_assert_eq!(sum("tokens_total", &["type=\"cached_input\""]), sums.cached as f64);
        prop_assert_eq!(sum("cache_requests_total", &["result=\"hit\""]), sums.hits as f64);
        prop_assert_eq!(sum("limited_requests_total", &[]), sums.limited as f64);
        let seconds = sum("request_duration_seconds_sum", &[]);
        prop_assert!((seconds - sums.seconds).abs() < 1e-6 * requests.max(1.0), "{} {}", seconds, sums.seconds);
        prop_assert_eq!(sum("in_flight_requests", &[]), 0.0);
    }
}
