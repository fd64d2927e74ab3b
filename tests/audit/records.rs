//! What a record has, and which requests have one.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    audit::AuditLog,
    context::RequestContext,
    identity::{Identity, Proof},
    payload::{Payload, PayloadLayer},
    rejection::{Refusal, Rejection, RejectionFormat},
};

use crate::{Folder, assert_intact, audit, lines, of_kind};

/// Sends one request to a handler that authenticates and reads the body.
async fn infer<B>(log: &AuditLog, request: Request<B>)
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let handler = service_fn(|request: Request<Payload>| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        let identity =
            Identity::new(Proof::Jwt, "https://issuer.example", "user-7").with_tenant("acme");
        context.set_identity(Arc::new(identity));
        context.set_route("chat");
        context.add_value("cost\u{202e}_center", "a\n17");
        context.add_value("weight", 0.5);
        context.add_value("seen", true);
        context.add_value("count", 3_i64);
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
    });
    let service = AccessLogLayer::sink(log.clone()).layer(PayloadLayer::new().layer(handler));
    let response = service.oneshot(request).await.unwrap();
    let _read = response.into_body().collect().await;
}

fn json_request<B>(body: B) -> Request<B> {
    Request::post("/").header("content-type", "application/json").body(body).unwrap()
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/chat/completions?key=secret");
    request.header("content-type", "application/json").body(Full::from(body)).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_record_has_who_what_when_and_the_outcome() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    let body = r#"{"model":"m","messages":[]}"#;
    infer(&log, post(body)).await;
    assert!(log.flush());
    let record = &of_kind(&folder.trail(), "request")[0];
    assert_eq!(
        record["principal"],
        json!({"proof": "jwt", "issuer": "https://issuer.example", "subject": "user-7"})
    );
    assert_eq!(record["payload_sha256"], sha256(body.as_bytes()));
    for (name, value) in [
        ("tenant", json!("acme")),
        ("method", json!("POST")),
        ("path", json!("/v1/chat/completions")),
        ("route", json!("chat")),
        ("model", json!("m")),
        ("status", json!(200)),
        ("outcome", json!("complete")),
        ("decisions", json!("payload=passed")),
        ("bytes_in", json!(27)),
        ("bytes_out", json!(5)),
        (
            "values",
            json!({"cost\u{202e}_center": "a\n17", "weight": 0.5, "seen": true, "count": 3}),
        ),
    ] {
        assert_eq!(record[name], value, "{name}");
    }
    assert!(record["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(log.lag(), 0);
    drop(log);
    assert_intact(&folder.trail());
}

#[tokio::test]
async fn the_digest_is_of_what_the_client_sent_and_its_absence_has_a_reason() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    // In pieces, and rejected because it is not JSON.
    let pieces = ["{\"a\"", ":", "nothing"];
    let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    infer(&log, json_request(Frames(frames.into()))).await;
    // Rejected by its head.
    let unread = Request::post("/").header("content-length", "99999999");
    infer(&log, unread.header("content-type", "application/json").body(Full::from("{}")).unwrap())
        .await;
    infer(&log, Request::get("/").body(Empty::<Bytes>::new()).unwrap()).await;
    // The client breaks off.
    let broken = [Ok(Frame::data(Bytes::from("{"))), Err("gone")];
    infer(&log, json_request(Frames(broken.into()))).await;
    assert!(log.flush());
    let records = of_kind(&folder.trail(), "request");
    assert_eq!(records[0]["payload_sha256"], sha256(pieces.concat().as_bytes()));
    assert_eq!(records[0]["refusal"], "malformed-payload");
    assert_eq!(records[0]["decisions"], "payload=rejected");
    let absent: Vec<_> = records[1..].iter().map(|record| &record["payload"]).collect();
    assert_eq!(absent, ["unread", "empty", "partial"]);
    assert!(records[1..].iter().all(|record| record["payload_sha256"].is_null()));
}

/// A body of these frames.
struct Frames<E>(VecDeque<Result<Frame<Bytes>, E>>);

impl<E: Unpin> Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test]
async fn rejections_and_cancelled_requests_have_records_and_listings_can_be_left_out() {
    for (skips, expected) in [(false, 5), (true, 3)] {
        let folder = Folder::create();
        let settings = audit(&folder.trail());
        let settings = if skips { settings.skip_model_listings() } else { settings };
        let log = settings.open().unwrap();
        let handler = service_fn(|request: Request<_>| async move {
            let rejects = request.headers().contains_key("x-reject");
            let responder = RejectionFormat::Problem.for_request(&request);
            let context = RequestContext::of(request.extensions()).unwrap();
            if rejects {
                return Ok(responder.respond(Rejection::new(Refusal::Forbidden), context));
            }
            let body = tower_inference::body::ResponseBody::inner(Full::<Bytes>::default());
            Ok::<_, Infallible>(Response::new(body))
        });
        let service = AccessLogLayer::sink(log.clone()).layer(handler);
        let request = |method: Method, path: &str, rejects: bool| {
            let mut request = Request::builder().method(method).uri(path);
            if rejects {
                request = request.header("x-reject", "1");
            }
            request.body(()).unwrap()
        };
        for sent in [
            request(Method::GET, "/v1/models", false),
            request(Method::HEAD, "/v1/models", false),
            request(Method::GET, "/v1/models", true),
            request(Method::POST, "/v1/models", false),
        ] {
            let response = service.clone().oneshot(sent).await.unwrap();
            response.into_body().collect().await.unwrap();
        }
        // A client that leaves before the head.
        drop(service.clone().call(request(Method::POST, "/x", false)));
        assert!(log.flush());
        let records = of_kind(&folder.trail(), "request");
        let outcomes: Vec<_> = records.iter().map(|record| record["outcome"].clone()).collect();
        assert_eq!(records.len(), expected, "{outcomes:?}");
        let rejected: Vec<_> =
            records.iter().filter(|record| record["refusal"] == "forbidden").collect();
        assert_eq!(rejected.len(), 1);
        assert_eq!(records.last().unwrap()["outcome"], "cancelled");
    }
}

#[tokio::test]
async fn no_value_of_a_client_breaks_a_line() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    let handler = service_fn(|request: Request<_>| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        let hostile = "\",\"hash\":\"\n{\"seq\":0}\r\u{2028}\u{202e}\0\\".repeat(500);
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, "i", &*hostile)));
        context.set_model(&*hostile);
        context.set_route(hostile.clone());
        context.add_value("v", hostile);
        context.add_value("f", f64::MAX);
        drop(request);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = AccessLogLayer::sink(log.clone()).layer(handler);
    let path = format!("/{}", "\",%22,\"hash\":\"".repeat(300));
    let request = Request::builder().uri(path).body(()).unwrap();
    service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert!(log.flush());
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.requests, report.unproven), (1, 0));
    let record = &of_kind(&folder.trail(), "request")[0];
    assert!(record["principal"]["subject"].as_str().unwrap().len() <= 512);
    assert!(record["values"]["v"].as_str().unwrap().len() <= 512);
}

#[test]
fn each_line_names_the_hash_of_the_one_before() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    crate::send_numbers(&log, 5);
    drop(log);
    let text = std::fs::read_to_string(folder.trail()).unwrap();
    let mut head = "0".repeat(64);
    for (number, line) in text.lines().enumerate() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&value["seq"], &value["prev"]), (&json!(number), &json!(head)));
        // As the docs say, so that others can write a verifier.
        let (hashed, _) = line.rsplit_once(",\"hash\":").unwrap();
        head = sha256(hashed.as_bytes());
        assert_eq!(value["hash"], head);
    }
    let kinds: Vec<_> = lines(&folder.trail())
        .iter()
        .map(|line| line["kind"].as_str().unwrap().to_owned())
        .collect();
    let requests = ["request"; 5];
    assert_eq!(kinds, [&["open", "checkpoint"][..], &requests, &["checkpoint"]].concat());
    assert_eq!(lines(&folder.trail()).last().unwrap()["reason"], "close");
}

#[tokio::test]
async fn a_layer_without_the_trail_hashes_no_body() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let sink = Arc::clone(&seen);
    let layer = AccessLogLayer::sink(move |record: &tower_inference::record::Record<'_>| {
        *sink.lock().unwrap() = Some(record.payload_digest());
    });
    let handler = service_fn(|request: Request<_>| async move {
        let body: tower_inference::access_log::RequestBody<Full<Bytes>> = request.into_body();
        body.collect().await.unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let response = layer.layer(handler).oneshot(post("{}")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(None));
}
