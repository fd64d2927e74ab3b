//! The JSON edits of `TransformLayer`, from the caller's bytes to the upstream's.

mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::{ScriptedBody, Step};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    payload::{Payload, PayloadLayer, Pointer},
    rejection::Rejection,
    transform::{ModelAliases, SystemMessage, TransformLayer},
};

fn at(pointer: &str) -> Pointer {
    pointer.parse().unwrap()
}

/// What reached the upstream, and its answer's status and refusal.
struct Sent {
    reached: Option<(Parts, Payload)>,
    status: StatusCode,
    rejection: Option<Rejection>,
}

impl Sent {
    fn body(&self) -> &str {
        let (_, payload) = self.reached.as_ref().expect("the upstream was not reached");
        std::str::from_utf8(payload.bytes().unwrap()).unwrap()
    }

    fn head(&self) -> &Parts {
        &self.reached.as_ref().expect("the upstream was not reached").0
    }
}

async fn send<B>(payload: PayloadLayer, transform: TransformLayer, request: Request<B>) -> Sent
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reached = Arc::new(Mutex::new(None));
    let seen = reached.clone();
    let upstream = service_fn(move |request: Request<Payload>| {
        *seen.lock().unwrap() = Some(request.into_parts());
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let gateway = ServiceBuilder::new().layer(payload).layer(transform).service(upstream);
    let answer = gateway.oneshot(request).await.unwrap();
    let reached = reached.lock().unwrap().take();
    Sent {
        reached,
        status: answer.status(),
        rejection: answer.extensions().get::<Rejection>().cloned(),
    }
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(Full::from(body))
        .unwrap()
}

/// What a gateway for chats does.
fn typical() -> TransformLayer {
    TransformLayer::new()
        .model_aliases(ModelAliases::new([("small", "meta-llama/Llama-3.1-8B-Instruct")]))
        .max_output_tokens(4096)
        .default_json(at("/temperature"), 0.7)
        .include_usage()
}

#[tokio::test]
async fn the_upstream_gets_the_edited_body_and_its_length() {
    let body = "{ \"model\":\"small\", \"seed\" : 1e2, \"stop\":\"\\u2603\",\"messages\":[ ],\"stream\":true }";
    let sent = send(PayloadLayer::new(), typical(), post(body)).await;
    let expected = "{ \"model\":\"meta-llama/Llama-3.1-8B-Instruct\", \"seed\" : 1e2, \"stop\":\"\\u2603\",\
        \"messages\":[ ],\"stream\":true,\"max_tokens\":4096,\"temperature\":0.7,\
        \"stream_options\":{\"include_usage\":true} }";
    assert_eq!(sent.body(), expected);
    assert_eq!(sent.head().headers["content-length"], expected.len().to_string().as_str());
    // What is asked for stays on record.
    let context = RequestContext::of(&sent.head().extensions).unwrap();
    assert_eq!(context.model(), Some("small"));
    assert_eq!(context.outcome().bytes_in, body.len() as u64);
    // The layers further in read the new document.
    let (_, payload) = sent.reached.as_ref().unwrap();
    let model = payload.document().unwrap().root().get("model").unwrap();
    assert_eq!(model.as_str().unwrap(), "meta-llama/Llama-3.1-8B-Instruct");
}

#[tokio::test]
async fn each_edit_has_its_setter() {
    let transform = TransformLayer::new()
        .override_json(at("/user"), json!(null))
        .remove_json(at("/logit_bias"))
        .clamp_json(at("/n"), 1..=2)
        .default_json(at("/seed"), 5)
        .system_message(SystemMessage::new("s").developer());
    let body = r#"{"n":9,"user":"u","logit_bias":{},"messages":[1]}"#;
    let sent = send(PayloadLayer::new(), transform, post(body)).await;
    let value: Value = serde_json::from_str(sent.body()).unwrap();
    let messages = json!([{"role": "developer", "content": "s"}, 1]);
    assert_eq!(value, json!({"n": 2, "user": null, "seed": 5, "messages": messages}));
}

#[tokio::test]
async fn json_edits_run_in_order_between_other_edits() {
    let transform = TransformLayer::new()
        .override_json(at("/a"), 9)
        .clamp_json(at("/a"), 1..=5)
        .default_json(at("/b"), 1)
        .remove_json(at("/a"))
        .default_json(at("/a"), 7);
    let sent = send(PayloadLayer::new(), transform, post("{}")).await;
    let value: Value = serde_json::from_str(sent.body()).unwrap();
    assert_eq!(value, json!({"a": 7, "b": 1}));
}

#[tokio::test]
async fn an_unchanged_body_is_not_copied() {
    let body = Bytes::from(r#"{"model":"m","max_tokens":5,"temperature":0,"stream":false}"#);
    let place = body.as_ptr();
    let sent = send(PayloadLayer::new(), typical(), post(body)).await;
    assert_eq!(sent.reached.unwrap().1.bytes().unwrap().as_ptr(), place);
}

#[tokio::test]
async fn a_request_without_a_body_passes() {
    let request = Request::get("/v1/models").body(Full::<Bytes>::default()).unwrap();
    let sent = send(PayloadLayer::new(), typical(), request).await;
    assert_eq!((sent.status, sent.body()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_rejection_has_the_pointer() {
    let body = r#"{"max_tokens":5,"MAX_TOKENS":100000}"#;
    let sent = send(PayloadLayer::new(), typical(), post(body)).await;
    assert!(sent.reached.is_none());
    assert_eq!(sent.status, StatusCode::UNPROCESSABLE_ENTITY);
    let rejection = sent.rejection.unwrap();
    assert_eq!(rejection.violations()[0].pointer, "/max_tokens");
    assert!(!format!("{rejection:?}").contains("MAX"));

    let sent = send(PayloadLayer::streamed(), typical(), post("{}")).await;
    assert_eq!(sent.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
    let nested = TransformLayer::new().default_json(at("/b"), json!([[1]]));
    let sent = send(PayloadLayer::new().max_depth(2), nested.clone(), post("{}")).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    let sent = send(PayloadLayer::new(), nested, post(deep)).await;
    assert_eq!(sent.status, StatusCode::OK);
}

#[tokio::test]
async fn a_chunked_body_keeps_its_trailers() {
    let trailers = [("x-checked", "yes"), ("content-digest", "sha-256=:x:")];
    let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let body = ScriptedBody::new([
        Step::Data(b"{\"n\":"),
        Step::Data(b"9}"),
        Step::Trailers(trailers.into_iter().collect()),
    ]);
    let request = Request::post("/")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked");
    let request = request.header("content-digest", "sha-256=:x:").body(body).unwrap();
    let transform = TransformLayer::new().clamp_json(at("/n"), 1..=2);
    let sent = send(PayloadLayer::new(), transform, request).await;
    assert_eq!(sent.head().headers["transfer-encoding"], "chunked");
    assert!(!sent.head().headers.contains_key("content-digest"));
    assert!(!sent.head().headers.contains_key("content-length"));
    let collected = sent.reached.unwrap().1.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap().len(), 1);
    assert_eq!(collected.to_bytes(), r#"{"n":2}"#);
}
