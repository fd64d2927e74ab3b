//! Each of several attempts is named in the lines of the access log.

#[path = "support/slow.rs"]
mod slow;
#[path = "support/written.rs"]
mod written;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    access_log::{AccessLogLayer, Emf, Events, Format, Sink},
    clock::FakeClock,
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource},
    payload::{Payload, PayloadLayer},
    record::GenAiConventions,
    request_id::RequestIdLayer,
    secret::Secret,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use crate::{slow::Slow, written::Written};

fn stage(name: &str) -> Stage {
    let token = TokenSource::value(Secret::new(format!("hf_tokenOf{name}"))).unwrap();
    Stage::new(name, format!("https://{name}.example").parse().unwrap(), token)
}

fn chat() -> Request<Payload> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Payload::buffered(body))
        .unwrap()
}

async fn send<S, B>(service: S, request: Request<Payload>) -> (StatusCode, Bytes)
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let Ok(response) = service.oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await;
    (status, body.map(|body| body.to_bytes()).unwrap_or_default())
}

fn identified(response: TestResponse, id: &'static str) -> TestResponse {
    response.header("x-request-id".parse().unwrap(), HeaderValue::from_static(id))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sends a request to one target after the other, of which the last one responds. Returns its line in this
/// format.
async fn line_of(targets: u32, format: Format) -> Value {
    let (written, clock) = (Written::default(), FakeClock::default());
    let sink = Sink::new(written.clone()).unwrap().drain_timeout(seconds(60));
    let mut script: Vec<_> = (1..targets)
        .map(|number| {
            let id = HeaderValue::from_str(&format!("req_{number}")).unwrap();
            TestResponse::error(StatusCode::BAD_GATEWAY).header("x-request-id".parse().unwrap(), id)
        })
        .collect();
    script.push(identified(TestResponse::chat("Hello"), "req_last"));
    let mut script = script.into_iter();
    let first = TestUpstream::new(script.next().unwrap());
    let upstream = script.fold(first, TestUpstream::then);
    let inner =
        HfTokenLayer::stage(stage("default")).layer(Slow { upstream, clock: clock.clone() });
    let names = (0..targets).map(|number| Target::new(stage(&format!("t{number}"))));
    let layers = (
        RequestIdLayer::new(),
        AccessLogLayer::lines(sink.clone(), format).clock(clock.shared()),
        PayloadLayer::new(),
        FallbackLayer::new(names).max_attempts(targets),
        UpstreamLayer::new(),
    );
    assert_eq!(send(layers.layer(inner), chat()).await.0, StatusCode::OK);
    assert!(sink.flush());
    serde_json::from_str(written.text().lines().next().unwrap()).unwrap()
}

#[tokio::test]
async fn a_line_names_each_of_several_attempts() {
    let fields = ["attempts", "attempt_list", "upstream_request_id"];
    let line = line_of(2, Format::json().fields(fields).unwrap()).await;
    let expected = json!({
        "upstream_request_id": "req_last",
        "attempts": 2,
        "attempt_list": [
            {
                "target": "t0",
                "upstream": "https://t0.example",
                "status": 502,
                "upstream_request_id": "req_1",
                "started_us": 0,
                "duration_us": 3_000_000,
                "abandoned": "status",
            },
            {
                "target": "t1",
                "upstream": "https://t1.example",
                "status": 200,
                "upstream_request_id": "req_last",
                "started_us": 3_000_000,
                "duration_us": 3_000_000,
            },
        ],
    });
    assert_eq!(line, expected);
    // The set by default has it, and so have documents of EMF.
    let emf = Emf::new("n").unwrap();
    for format in [Format::json(), Format::emf(emf)] {
        assert_eq!(line_of(2, format).await["attempt_list"], expected["attempt_list"]);
    }
    // Its members can be chosen.
    let chosen = Format::json().fields(["attempt_list.abandoned"]).unwrap();
    let expected = json!({ "attempt_list": [{ "abandoned": "status" }, {}] });
    assert_eq!(line_of(2, chosen).await, expected);
    // The other members say all about a single attempt.
    assert!(line_of(1, Format::json()).await.get("attempt_list").is_none());
}

#[tokio::test]
async fn the_attempts_of_a_line_are_bounded() {
    let line = line_of(20, Format::json()).await;
    assert_eq!(line["attempts"], 20);
    let list = line["attempt_list"].as_array().unwrap();
    assert_eq!((list.len(), &list[15]["target"]), (16, &json!("t15")));
}

#[tokio::test]
async fn other_sets_have_the_id_of_the_upstream() {
    let set = Format::api_gateway();
    let line = line_of(2, set).await;
    assert_eq!(line["integration.requestId"], "req_last");
    let set = Format::open_telemetry(GenAiConventions::Latest);
    assert_eq!(line_of(2, set).await["tower_inference.upstream_request_id"], "req_last");
    let emf = Emf::new("n").unwrap();
    assert_eq!(line_of(1, Format::emf(emf)).await["upstream_request_id"], "req_last");
}

#[test]
fn an_event_has_the_attempts_as_json() {
    let (written, clock) = (Written::default(), FakeClock::default());
    let sink = Sink::new(written.clone()).unwrap().drain_timeout(seconds(60));
    let events = sink.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || events.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let upstream = TestUpstream::new(TestResponse::error(StatusCode::BAD_GATEWAY))
                .then(TestResponse::chat("Hello"));
            let fallback = FallbackLayer::new([Target::new(stage("a")), Target::new(stage("b"))]);
            let fields = ["attempt_list.target", "attempt_list.status"];
            let log = AccessLogLayer::sink(Events::new().fields(fields).unwrap());
            let log = log.clock(clock.shared());
            let layers = (log, PayloadLayer::new(), fallback, UpstreamLayer::new());
            let inner = HfTokenLayer::stage(stage("default")).layer(upstream);
            assert_eq!(send(layers.layer(inner), chat()).await.0, StatusCode::OK);
        });
    });
    assert!(sink.flush());
    let text = written.text();
    let list = r#"[{\"target\":\"a\",\"status\":502},{\"target\":\"b\",\"status\":200}]"#;
    assert!(text.contains(list), "{text}");
}
