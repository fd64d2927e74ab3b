//! The GenAI conventions of OpenTelemetry, of 1.41 and the latest.
//!
//! <https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-metrics.md>,
//! <https://github.com/open-telemetry/semantic-conventions-genai/tree/main/docs/gen-ai>

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    hf::{HfTokenLayer, Stage, TokenSource},
    metrics::{Metrics, Names},
    model::Profile,
    record::{Record, RecordSink},
    secret::Secret,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use super::{Scrape, Script, recorder, request, scripted, with};

/// Sends a request through a gateway to this upstream.
fn scrape(
    metrics: Metrics,
    (origin, profile): (&str, Profile),
    (method, path): (Method, &str),
    response: TestResponse,
) -> Scrape {
    let recorder = recorder(&metrics);
    with(&recorder, async {
        let token = TokenSource::value(Secret::new("hf_example")).unwrap();
        let stage = Stage::new("a", origin.parse().unwrap(), token).profile(profile);
        let service = Stack::new()
            .access_log(AccessLogLayer::sink(metrics))
            .upstream(UpstreamLayer::new())
            .hf_token(HfTokenLayer::stage(stage))
            .layer(TestUpstream::new(response));
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(bytes::Bytes::from_static(b"{}"))).unwrap();
        let Ok(response) = service.oneshot(request).await;
        let _ended = response.into_body().collect().await;
    });
    Scrape::of(&recorder)
}

fn router() -> (&'static str, Profile) {
    ("https://router.huggingface.co", Profile::compatible())
}

fn generated() -> TestResponse {
    let text = r#"{"choices":[{"index":0,"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
    TestResponse::json(serde_json::from_str::<serde_json::Value>(text).unwrap())
}

/// The names below `gen_ai` of histograms and counters that have values.
fn named(scrape: &Scrape) -> Vec<String> {
    let mut names: Vec<_> = scrape
        .names()
        .filter(|name| name.starts_with("gen_ai_") && !name.ends_with("_bucket"))
        .filter(|name| !name.ends_with("_sum"))
        .map(|name| name.trim_end_matches("_count").to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn the_path_tells_the_operation_and_its_metrics() {
    let latest = |path| {
        let metrics = Metrics::new().names(Names::OpenTelemetryLatest);
        scrape(metrics, router(), (Method::POST, path), generated())
    };
    let chat = latest("/v1/chat/completions");
    assert_eq!(
        named(&chat),
        [
            "gen_ai_client_inference_duration",
            "gen_ai_client_inference_operation_input_tokens",
            "gen_ai_client_inference_operation_output_tokens",
            "gen_ai_client_inference_usage_cache_read_input_tokens",
            "gen_ai_client_inference_usage_input_tokens",
            "gen_ai_client_inference_usage_output_tokens",
            "gen_ai_client_inference_usage_reasoning_output_tokens",
            "gen_ai_server_request_duration",
        ]
    );
    let embeddings = latest("/v1/embeddings");
    assert_eq!(
        named(&embeddings),
        [
            "gen_ai_client_embeddings_duration",
            "gen_ai_client_embeddings_operation_input_tokens",
            "gen_ai_server_request_duration",
        ]
    );
    let rerank = latest("/rerank");
    assert_eq!(
        named(&rerank),
        ["gen_ai_client_operation_duration", "gen_ai_server_request_duration"]
    );
    for (scrape, operation) in [(chat, "chat"), (embeddings, "embeddings"), (rerank, "rerank")] {
        let label = format!("gen_ai_operation_name=\"{operation}\"");
        let duration = "gen_ai_server_request_duration_count";
        assert_eq!(scrape.sum(duration, &[&label]), 1.0, "{}", scrape.text);
        assert_eq!(scrape.sum("tower_inference_tokens", &[]), 12.0, "{operation}");
    }
}

#[test]
fn a_request_that_is_no_inference_has_no_metric_of_the_conventions() {
    for names in [Names::OpenTelemetry1_41, Names::OpenTelemetryLatest] {
        for (method, path) in
            [(Method::GET, "/v1/models"), (Method::GET, "/"), (Method::POST, "/x")]
        {
            let metrics = Metrics::new().names(names);
            let scrape = scrape(metrics, router(), (method, path), generated());
            assert_eq!(scrape.sum("tower_inference_requests", &[]), 1.0);
            assert!(named(&scrape).is_empty(), "{path} {}", scrape.text);
        }
    }
}

#[test]
fn the_provider_is_that_of_the_record() {
    let unknown = "https://models.example";
    for (upstream, expected) in [
        (router(), "huggingface"),
        (("https://api.groq.com", Profile::compatible()), "groq"),
        ((unknown, Profile::openai()), "openai"),
        ((unknown, Profile::compatible()), "acme"),
    ] {
        for names in [Names::OpenTelemetry1_41, Names::OpenTelemetryLatest] {
            let metrics = Metrics::new().names(names).provider("acme");
            let chat = (Method::POST, "/v1/chat/completions");
            let scrape = scrape(metrics, upstream.clone(), chat, generated());
            let label = format!("gen_ai_provider_name=\"{expected}\"");
            let duration = "gen_ai_server_request_duration_count";
            assert_eq!(scrape.sum(duration, &[&label]), 1.0, "{}", scrape.text);
        }
    }
}

#[test]
fn a_stream_has_times_of_its_chunks() {
    for (names, prefix) in [
        (Names::OpenTelemetry1_41, "gen_ai_client_operation"),
        (Names::OpenTelemetryLatest, "gen_ai_client_inference"),
    ] {
        let count =
            |scrape: &Scrape, name: &str| scrape.sum(&format!("{prefix}_{name}_count"), &[]);
        let chat = || (Method::POST, "/v1/chat/completions");
        let metrics = || Metrics::new().names(names);
        let stream = TestResponse::chat_stream(["one", "two", "three"]);
        let stream = scrape(metrics(), router(), chat(), stream);
        assert_eq!(count(&stream, "time_to_first_chunk"), 1.0, "{}", stream.text);
        assert!(count(&stream, "time_per_output_chunk") >= 2.0, "{}", stream.text);
        let whole = scrape(metrics(), router(), chat(), generated());
        assert_eq!(count(&whole, "time_to_first_chunk"), 0.0);
        assert_eq!(count(&whole, "time_per_output_chunk"), 0.0);
    }
}

#[test]
fn an_error_is_that_of_the_request_or_of_the_upstream() {
    let metrics = || Metrics::new().names(Names::OpenTelemetry1_41);
    let chat = || (Method::POST, "/v1/chat/completions");
    let failed = TestResponse::error(http::StatusCode::BAD_GATEWAY);
    let scrape = scrape(metrics(), router(), chat(), failed);
    let of = |name: &str, error: &str| {
        let label = format!("error_type=\"{error}\"");
        scrape.sum(&format!("{name}_count"), &[&label])
    };
    assert_eq!(of("gen_ai_server_request_duration", "upstream_error"), 1.0, "{}", scrape.text);
    assert_eq!(of("gen_ai_client_operation_duration", "502"), 1.0, "{}", scrape.text);
}

/// Gauges of two gateways would replace each other.
#[test]
fn gateways_of_one_process_have_names() {
    for (names, label) in
        [(Names::Prometheus, "gateway"), (Names::OpenTelemetryLatest, "tower_inference_gateway")]
    {
        let of = |name: &'static str| Metrics::new().names(names).gateway(name);
        let recorder = recorder(&of(""));
        metrics::with_local_recorder(&recorder, || {
            of("chat").audit_lag(1);
            of("search").audit_lag(2);
        });
        let scrape = Scrape::of(&recorder);
        let lag = if names == Names::Prometheus {
            "tower_inference_audit_lag_records"
        } else {
            "tower_inference_audit_lag"
        };
        for (name, expected) in [("chat", 1.0), ("search", 2.0)] {
            assert_eq!(scrape.value(&format!("{lag}{{{label}=\"{name}\"}}")), expected);
        }
    }
}

struct Panics;

impl RecordSink for Panics {
    fn arrived(&self) {
        panic!("a sink of the program");
    }

    fn record(&self, _record: &Record<'_>) {}
}

/// A gauge that was raised without a record would never go down.
#[test]
fn a_panic_of_another_sink_leaves_no_request_in_flight() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    with(&recorder, async {
        for log in [
            AccessLogLayer::sink(metrics.clone()).and(Panics),
            AccessLogLayer::sink(Panics).and(metrics.clone()),
        ] {
            let mut service = scripted(log);
            let call = AssertUnwindSafe(|| service.call(request(Script::ok("chat", "m"))));
            if let Ok(called) = catch_unwind(call) {
                let Ok(response) = called.await;
                let _ended = response.into_body().collect().await;
            }
        }
    });
    let scrape = Scrape::of(&recorder);
    assert_eq!(scrape.value("tower_inference_in_flight_requests"), 0.0, "{}", scrape.text);
    assert_eq!(scrape.sum("tower_inference_requests_total", &[]), 2.0);
}
