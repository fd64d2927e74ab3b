//! The body type: buffered or streamed, never boxed twice and with an exact length.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    payload::{DocumentError, JsonFault, Payload, PayloadError, PayloadLayer},
    rejection::Refusal,
};

use crate::support::{ScriptedBody, Step};

async fn collect(payload: Payload) -> (Bytes, Option<HeaderMap>) {
    let collected = payload.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

#[tokio::test]
async fn buffered_body_yields_its_bytes_once_with_an_exact_size() {
    let mut payload = Payload::buffered("hello");
    assert_eq!((payload.size_hint().exact(), payload.is_end_stream()), (Some(5), false));
    let frame = payload.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "hello");
    assert_eq!((payload.size_hint().exact(), payload.is_end_stream()), (Some(0), true));
    assert!(payload.frame().await.is_none());
    // Read by a layer, still, after it was sent.
    assert_eq!(payload.bytes().unwrap(), "hello");

    let mut empty = Payload::buffered("");
    assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
    assert!(empty.frame().await.is_none());
}

#[tokio::test]
async fn clone_starts_at_the_first_byte() {
    let mut payload = Payload::buffered("hello");
    payload.frame().await.unwrap().unwrap();
    let copy = payload.try_clone().unwrap();
    assert_eq!(copy.bytes().unwrap().as_ptr(), payload.bytes().unwrap().as_ptr());
    assert_eq!(collect(copy).await.0, "hello");
    assert!(Payload::streamed(Full::from("hello")).try_clone().is_none());
}

#[test]
fn clones_share_one_document() {
    let payload = Payload::buffered(r#"{"a":1}"#);
    let copy = payload.try_clone().unwrap();
    let document: *const _ = copy.document().unwrap();
    assert!(std::ptr::eq(document, payload.document().unwrap()));
}

#[test]
fn document_errors_have_reasons_and_rejections() {
    let streamed = Payload::streamed(Full::from("{}"));
    assert_eq!(streamed.document().unwrap_err(), DocumentError::Streamed);
    assert!(streamed.bytes().is_none() && streamed.is_streamed());
    let rejection = DocumentError::Streamed.rejection();
    assert_eq!(rejection.refusal(), Refusal::UnsupportedMediaType);

    let empty = Payload::buffered("").document().unwrap_err();
    assert_eq!(empty, DocumentError::Empty);
    assert_eq!(empty.rejection().refusal(), Refusal::MalformedPayload);

    let malformed = Payload::buffered("[1,]").document().unwrap_err();
    let DocumentError::Malformed(reason) = malformed else { panic!("{malformed}") };
    assert_eq!(reason.fault, JsonFault::ExpectedValue);
    let rejection = malformed.rejection();
    assert_eq!((rejection.refusal(), rejection.position()), (Refusal::MalformedPayload, Some(3)));
    assert_eq!(rejection.detail(), "the body is not strict JSON: expected a value at byte 3");
}

#[tokio::test]
async fn streamed_body_passes_frames_trailers_and_size_hints() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let steps =
        [Step::Data(b"ab"), Step::Pending, Step::Data(b"c"), Step::Trailers(trailers.clone())];
    let payload = Payload::streamed(ScriptedBody::new(steps).announce(3));
    assert_eq!(payload.size_hint().exact(), Some(3));
    assert_eq!(collect(payload).await, (Bytes::from("abc"), Some(trailers)));
    assert!(Payload::streamed(Full::<Bytes>::default()).is_end_stream());
}

#[tokio::test]
async fn failed_body_ends_after_its_error() {
    let mut payload = Payload::streamed(ScriptedBody::new([Step::Error, Step::Data(b"late")]));
    let error = payload.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, PayloadError::Broken(_)));
    assert_eq!(error.source().unwrap().to_string(), "scripted");
    assert_eq!(error.rejection().detail(), "the request body ended early");
    assert!(payload.is_end_stream() && payload.frame().await.is_none());
}

#[tokio::test]
async fn payload_error_is_found_inside_wrapping_errors() {
    let limited = Limited::new(Full::from(Bytes::from("too long")), 3);
    let error = Payload::streamed(axum::body::Body::new(limited)).collect().await.unwrap_err();
    assert!(matches!(error, PayloadError::TooLarge(None)), "{error:?}");
    let error: Box<dyn Error + Send + Sync> =
        Box::new(PayloadError::TimedOut(std::time::Duration::from_secs(7)));
    assert!(
        matches!(PayloadError::from(error), PayloadError::TimedOut(after) if after.as_secs() == 7)
    );
}

#[tokio::test]
async fn payload_is_not_wrapped_twice() {
    let once = Payload::streamed(ScriptedBody::new([Step::Error]));
    let twice = Payload::streamed(Payload::streamed(once));
    // A second box would have wrapped the error a second time.
    let error = twice.collect().await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "scripted");
    let buffered = Payload::streamed(Payload::buffered("x"));
    assert_eq!(buffered.bytes().unwrap(), "x");
}

#[test]
fn payload_is_send_sync_and_unpin() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<Payload>();
}

#[test]
fn debug_omits_the_content() {
    assert_eq!(format!("{:?}", Payload::buffered("prompt")), "Payload { buffered: 6 }");
    assert!(
        format!("{:?}", Payload::streamed(Full::from("prompt"))).starts_with("Payload { streamed")
    );
}

/// What an outer layer left in the fields may be another body's.
#[tokio::test]
async fn content_length_matches_the_forwarded_body() {
    async fn echo(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
        let length = request.headers()[CONTENT_LENGTH].clone();
        Ok(Response::builder().header("x-length", length).body(Full::default()).unwrap())
    }
    for (body, length) in [("", "0"), ("0123456789", "10")] {
        let request = || Request::post("/").header(CONTENT_LENGTH, 3);
        let service = PayloadLayer::bytes().layer(service_fn(echo));
        let given = request().body(Payload::buffered(body)).unwrap();
        let given = service.clone().oneshot(given).await.unwrap();
        let read = request().body(Full::<Bytes>::from(body)).unwrap();
        let read = service.oneshot(read).await.unwrap();
        for response in [given.headers(), read.headers()] {
            assert_eq!(response["x-length"], length, "{body:?}");
        }
    }
}

/// hyper rejects such a request. Another server may not.
#[tokio::test]
async fn two_lengths_become_the_one_of_the_body() {
    async fn echo(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
        let lengths = request.headers().get_all(CONTENT_LENGTH).iter().cloned();
        let mut response = Response::new(Full::default());
        response.headers_mut().extend(lengths.map(|length| (CONTENT_LENGTH, length)));
        Ok(response)
    }
    for first in ["10", "3"] {
        let request = Request::post("/").header(CONTENT_LENGTH, first).header(CONTENT_LENGTH, "7");
        let request = request.body(Full::<Bytes>::from("0123456789")).unwrap();
        let service = PayloadLayer::bytes().layer(service_fn(echo));
        let response = service.oneshot(request).await.unwrap();
        let lengths: Vec<_> = response.headers().get_all(CONTENT_LENGTH).iter().collect();
        assert_eq!(lengths, ["10"]);
    }
}
