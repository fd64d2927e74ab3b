//! The server span, the one over the attempts, and that of each attempt.

use std::sync::Arc;

use http::{HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use tokio::{sync::Notify, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    cache::{CacheLayer, Cacheable, Scope},
    context::RequestContext,
    fallback::FallbackLayer,
    hf::HfTokenLayer,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use super::*;

fn error(span: &SpanData) -> Option<String> {
    let is_error = matches!(span.status, Status::Error { .. });
    let kind = text(span, "error.type");
    assert_eq!(is_error, kind.is_some(), "{span:?}");
    kind
}

#[tokio::test]
async fn one_client_span_is_over_the_attempts_and_below_the_server_span() {
    let exporter = Exporter::start();
    let failing = TestResponse::error(StatusCode::BAD_GATEWAY)
        .header("x-request-id".parse().unwrap(), HeaderValue::from_static("req_1"));
    let upstream = TestUpstream::new(failing).then(TestResponse::chat("an answer"));
    let layers = (
        RequestIdLayer::new(),
        access_log(),
        PayloadLayer::new(),
        FallbackLayer::new([target("a"), target("b")]),
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("default")),
    );
    let mut request = chat();
    RequestContext::ensure(request.extensions_mut()).set_route("chat");
    let (status, _body) = send(layers.layer(upstream), request).await;
    assert_eq!(status, StatusCode::OK);

    let server = exporter.only("POST chat");
    assert_eq!((&server.span_kind, server.parent_span_id), (&SpanKind::Server, SpanId::INVALID));
    assert_eq!(text(&server, "http.request.method").as_deref(), Some("POST"));
    assert_eq!(text(&server, "http.route").as_deref(), Some("chat"));
    assert_eq!(number(&server, "http.response.status_code"), Some(200));
    assert_eq!(error(&server), None);

    let client = exporter.only("chat org/m");
    assert_eq!(client.span_kind, SpanKind::Client);
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    assert_eq!(text(&client, "gen_ai.operation.name").as_deref(), Some("chat"));
    assert_eq!(text(&client, "gen_ai.provider.name").as_deref(), Some("openai"));
    assert_eq!(text(&client, "gen_ai.request.model").as_deref(), Some("org/m"));
    assert_eq!(attribute(&client, "gen_ai.request.stream"), None);
    assert!(number(&client, "gen_ai.usage.input_tokens").unwrap() > 0);
    assert!(number(&client, "gen_ai.usage.output_tokens").unwrap() > 0);
    assert_eq!(text(&client, "server.address").as_deref(), Some("b.example"));
    assert_eq!(number(&client, "server.port"), Some(8443));
    assert_eq!(error(&client), None, "the second attempt has served the request");

    let attempts = exporter.named("POST");
    assert_eq!(kinds(&attempts), [SpanKind::Client, SpanKind::Client]);
    for (attempt, host, status, resends, failure) in [
        (&attempts[0], "a.example", 502, None, Some("502")),
        (&attempts[1], "b.example", 200, Some(1), None),
    ] {
        assert_eq!(attempt.parent_span_id, client.span_context.span_id());
        assert_eq!(text(attempt, "server.address").as_deref(), Some(host));
        assert_eq!(number(attempt, "http.response.status_code"), Some(status));
        assert_eq!(number(attempt, "http.request.resend_count"), resends);
        assert_eq!(error(attempt).as_deref(), failure);
        assert!(attempt.start_time >= client.start_time && attempt.end_time <= client.end_time);
    }
    assert_eq!(text(&attempts[0], "tower_inference.upstream_request_id").as_deref(), Some("req_1"));
    assert!(attempts[0].end_time <= attempts[1].start_time);
    assert_eq!(exporter.spans().len(), 4);
    assert!(!format!("{:?}", exporter.spans()).contains("a prompt"));
    assert!(!format!("{:?}", exporter.spans()).contains("an answer"));
    assert!(!format!("{:?}", exporter.spans()).contains("hf_example"));
}

#[tokio::test]
async fn a_stream_has_its_time_to_the_first_chunk_and_ends_with_its_body() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::chat_stream(["a", "b"]));
    let layers = (
        RequestIdLayer::new(),
        access_log(),
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("a")),
    );
    let response = layers.layer(upstream).oneshot(chat()).await.unwrap();
    assert!(exporter.spans().is_empty(), "the response flows");
    response.into_body().collect().await.unwrap();
    let client = exporter.only("chat");
    assert_eq!(attribute(&client, "gen_ai.request.stream"), Some(Value::Bool(true)));
    let wait = attribute(&client, "gen_ai.response.time_to_first_chunk");
    assert!(matches!(wait, Some(Value::F64(seconds)) if seconds >= 0.0), "{wait:?}");
    assert_eq!(exporter.spans().len(), 3);
}

#[tokio::test]
async fn a_failure_is_an_error_of_the_client_and_of_the_server() {
    let exporter = Exporter::start();
    let refused = service_fn(|_: Request<_>| async { Err::<Response<Full<Bytes>>, _>("refused") });
    let layers = (RequestIdLayer::new(), access_log(), UpstreamLayer::new());
    let inner = HfTokenLayer::stage(stage("a")).layer(refused);
    assert_eq!(send(layers.layer(inner), chat()).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(error(&exporter.only("chat")).as_deref(), Some("upstream-unavailable"));
    let [attempt, server] = &exporter.named("POST")[..] else { panic!("{:?}", exporter.names()) };
    assert_eq!(error(attempt).as_deref(), Some("_OTHER"));
    assert_eq!((&server.span_kind, error(server).as_deref()), (&SpanKind::Server, Some("502")));
}

#[tokio::test]
async fn a_status_of_the_client_is_no_error_of_the_server() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::error(StatusCode::NOT_FOUND));
    let layers = (RequestIdLayer::new(), access_log(), UpstreamLayer::new());
    let service = layers.layer(HfTokenLayer::stage(stage("a")).layer(upstream));
    assert_eq!(send(service, chat()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(error(&exporter.only("chat")).as_deref(), Some("404"));
    let [attempt, server] = &exporter.named("POST")[..] else { panic!("{:?}", exporter.names()) };
    assert_eq!(error(attempt).as_deref(), Some("404"));
    assert_eq!((&server.span_kind, error(server)), (&SpanKind::Server, None));
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_spans() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::chat_stream(["a"]).then_stalls());
    let layers = (RequestIdLayer::new(), access_log(), UpstreamLayer::new());
    let service = layers.layer(HfTokenLayer::stage(stage("a")).layer(upstream));
    let mut body = Box::pin(service.oneshot(chat()).await.unwrap().into_body());
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(error(&exporter.only("chat")).as_deref(), Some("cancelled"));
    assert_eq!(exporter.spans().len(), 3);
}

#[tokio::test]
async fn a_request_without_an_upstream_has_no_client_span() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::chat("an answer"));
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::by(|_| true));
    let layers = (
        RequestIdLayer::new(),
        access_log(),
        PayloadLayer::new(),
        cache,
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("a")),
    );
    let service = layers.layer(upstream);
    send(service.clone(), chat()).await;
    let missed = exporter.spans().len();
    assert_eq!(missed, 3);
    let server = exporter.spans().pop().unwrap();
    assert_eq!(exporter.only("chat org/m").parent_span_id, server.span_context.span_id());
    // A hit, and a rejection.
    send(service.clone(), chat()).await;
    let mut broken = chat();
    *broken.body_mut() = Payload::buffered("{");
    assert_eq!(send(service, broken).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(exporter.spans().len(), missed + 2);
    assert_eq!(exporter.named("chat org/m").len(), 1);
}

#[tokio::test]
async fn a_request_that_is_no_inference_has_attempts_alone() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::json("{}"));
    let layers = (RequestIdLayer::new(), access_log(), UpstreamLayer::new());
    let service = layers.layer(HfTokenLayer::stage(stage("a")).layer(upstream));
    let request = Request::get("/v1/models").body(Payload::buffered("")).unwrap();
    send(service, request).await;
    let [attempt, server] = &exporter.named("GET")[..] else { panic!("{:?}", exporter.names()) };
    assert_eq!(attempt.parent_span_id, server.span_context.span_id());
    assert_eq!(exporter.spans().len(), 2);
}

/// A response whose usage has each part.
const DETAILED: &str = r#"{"id":"c-1","model":"org/m-2026","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],
"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":1}}}"#;

#[tokio::test]
async fn the_names_are_those_of_the_version() {
    for conventions in [GenAiConventions::V1_41, GenAiConventions::Latest] {
        let exporter = Exporter::start();
        let upstream = TestUpstream::new(TestResponse::json(
            serde_json::from_str::<serde_json::Value>(DETAILED).unwrap(),
        ));
        let log = AccessLogLayer::sink(|_: &Record<'_>| {}).spans(conventions);
        let layers = (log, UpstreamLayer::new(), HfTokenLayer::stage(stage("a")));
        send(layers.layer(upstream), chat()).await;
        let client = exporter.only("chat");
        let own = |name: &str| name.starts_with("gen_ai.");
        let mut names: Vec<_> = client.attributes.iter().map(|own| own.key.as_str()).collect();
        names.retain(|name| own(name));
        names.sort_unstable();
        let mut expected = [
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.response.finish_reasons",
            "gen_ai.response.id",
            "gen_ai.response.model",
            "gen_ai.usage.cache_read.input_tokens",
            conventions.name(GenAiAttribute::CacheWriteInputTokens),
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.reasoning.output_tokens",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn without_the_setting_there_is_the_server_span_alone() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::chat("an answer"));
    let log = AccessLogLayer::sink(|_: &Record<'_>| {});
    let layers = (RequestIdLayer::new(), log, UpstreamLayer::new());
    let service = layers.layer(HfTokenLayer::stage(stage("a")).layer(upstream));
    send(service, chat()).await;
    assert_eq!(exporter.names(), ["POST"]);
}

/// Layers with a cache, before an upstream that responds to a call once the gate is notified.
fn gated() -> (
    impl Service<
        Request<Payload>,
        Response = Response<impl BodyExt<Data = Bytes> + Send>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
    Arc<Notify>,
) {
    let upstream = TestUpstream::new(TestResponse::chat_stream(["a", "b"]));
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let slow = service_fn(move |request: Request<Payload>| {
        let (gate, upstream) = (Arc::clone(&opens), upstream.clone());
        async move {
            gate.notified().await;
            upstream.oneshot(request).await
        }
    });
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::by(|_| true));
    let layers = (
        RequestIdLayer::new(),
        access_log(),
        PayloadLayer::new(),
        cache,
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("a")),
    );
    (layers.layer(slow), gate)
}

/// A shared call is polled by whichever request reads it.
#[tokio::test]
async fn a_shared_call_is_below_the_request_that_started_it() {
    let exporter = Exporter::start();
    let (service, gate) = gated();
    let (first, second, ()) =
        tokio::join!(send(service.clone(), chat()), send(service, chat()), async {
            tokio::task::yield_now().await;
            gate.notify_one();
        });
    assert_eq!(first, second);
    let client = exporter.only("chat org/m");
    let spans = exporter.spans();
    let servers: Vec<_> = spans.iter().filter(|span| span.span_kind == SpanKind::Server).collect();
    assert_eq!((servers.len(), spans.len()), (2, 4));
    let own = |server: &&&SpanData| server.span_context.span_id() == client.parent_span_id;
    assert_eq!(servers.iter().filter(own).count(), 1);
    assert_eq!(attribute(&client, "gen_ai.request.stream"), Some(Value::Bool(true)));
}

/// The end of a request that shares a call is not that of the call.
#[tokio::test]
async fn a_shared_call_goes_on_without_the_request_that_started_it() {
    for followers in [0, 1] {
        let exporter = Exporter::start();
        let (service, gate) = gated();
        let mut first = JoinSet::new();
        first.spawn(send(service.clone(), chat()));
        tokio::task::yield_now().await;
        let mut others = JoinSet::new();
        for _ in 0..followers {
            others.spawn(send(service.clone(), chat()));
        }
        tokio::task::yield_now().await;
        first.shutdown().await;
        gate.notify_one();
        others.join_all().await;
        let client = exporter.only("chat org/m");
        // Without another request the call is dropped with its own.
        let expected = (followers == 0).then_some("cancelled");
        assert_eq!(error(&client).as_deref(), expected);
        let is_attempt = |span: &SpanData| span.span_kind == SpanKind::Client;
        let mut attempts = exporter.named("POST");
        attempts.retain(is_attempt);
        assert_eq!(attempts.len(), 1);
        assert_eq!(error(&attempts[0]).is_some(), followers == 0);
    }
}

/// The cost without a subscriber is counted by `tests/allocations` of the crate.
#[tokio::test]
async fn a_filter_of_the_target_turns_the_spans_off() {
    use tracing_subscriber::{filter::Targets, layer::Layer as _};

    let exporter = Exporter::filtered(|layer| {
        let targets = Targets::new()
            .with_default(tracing::Level::INFO)
            .with_target("tower_inference::attempt", tracing::level_filters::LevelFilter::OFF);
        layer.with_filter(targets).boxed()
    });
    let upstream = TestUpstream::new(TestResponse::chat("an answer"));
    let layers = (RequestIdLayer::new(), access_log(), UpstreamLayer::new());
    send(layers.layer(HfTokenLayer::stage(stage("a")).layer(upstream)), chat()).await;
    assert_eq!(exporter.names(), ["chat", "POST"]);
}

/// A client can send the upstream's token as the name of a model, and a method and a model of any length.
#[tokio::test]
async fn no_span_has_what_a_client_makes_up() {
    let exporter = Exporter::start();
    let upstream = TestUpstream::new(TestResponse::chat("an answer"));
    let token = stage("a");
    let log = access_log().scrubber(token.scrubber().clone());
    let layers = (log, PayloadLayer::new(), UpstreamLayer::new(), HfTokenLayer::stage(token));
    let service = layers.layer(upstream);
    let long = "m".repeat(100_000);
    for model in ["m-hf_example", &long] {
        let mut request = chat();
        *request.body_mut() = Payload::buffered(format!(r#"{{"model":"{model}","messages":[]}}"#));
        send(service.clone(), request).await;
    }
    let mut other = chat();
    *other.method_mut() = "BREW".parse().unwrap();
    send(service, other).await;
    let spans = format!("{:?}", exporter.spans());
    assert!(!spans.contains("hf_example") && spans.contains("chat [redacted]"), "{spans}");
    assert!(!spans.contains(&"m".repeat(1_000)));
    assert!(!spans.contains("BREW") && exporter.named("_OTHER").len() == 1, "{spans}");
}

#[tokio::test]
async fn the_span_over_the_attempts_tells_what_the_response_is() {
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::by(|_| true));
    for (response, reasons) in [
        (TestResponse::json(serde_json::from_str::<serde_json::Value>(DETAILED).unwrap()), "stop"),
        (
            TestResponse::events([
                r#"{"id":"c-1","model":"org/m-2026","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#,
                r#"{"id":"c-1","model":"org/m-2026","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
                "[DONE]",
            ]),
            "length",
        ),
    ] {
        let exporter = Exporter::start();
        let layers = (
            access_log(),
            PayloadLayer::new(),
            cache.clone(),
            UpstreamLayer::new(),
            HfTokenLayer::stage(stage("a")),
        );
        let mut request = chat();
        *request.body_mut() =
            Payload::buffered(format!(r#"{{"model":"org/m","messages":[],"stop":"{reasons}"}}"#));
        send(layers.layer(TestUpstream::new(response)), request).await;
        let client = exporter.only("chat org/m");
        assert_eq!(text(&client, "gen_ai.response.id").as_deref(), Some("c-1"));
        assert_eq!(text(&client, "gen_ai.response.model").as_deref(), Some("org/m-2026"));
        assert_eq!(text(&client, "gen_ai.response.finish_reasons").as_deref(), Some(reasons));
    }
}

#[tokio::test]
async fn a_service_that_fails_is_an_error_of_the_server() {
    let exporter = Exporter::start();
    let failing =
        service_fn(|_: Request<Payload>| async { Err::<Response<Full<Bytes>>, _>("down") });
    let failed = RequestIdLayer::new().layer(failing).oneshot(chat()).await;
    assert!(failed.is_err());
    assert_eq!(error(&exporter.only("POST")).as_deref(), Some("_OTHER"));
}
