//! The bodies of the ground floor: what passes is untouched, and each end is told exactly once.

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use proptest::prelude::*;
use support::{ScriptedBody, Step};
use tower_inference::body::{BodyEnd, ResponseBody, Watch, WatchedBody};

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Data(Bytes),
    Trailers(HeaderMap),
    End(BodyEnd),
}

/// Keeps what it saw, where the test still reads it after the body is gone.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    fn ends(&self) -> Vec<BodyEnd> {
        let ends = self.seen().into_iter().filter_map(|seen| match seen {
            Seen::End(end) => Some(end),
            _ => None,
        });
        ends.collect()
    }
}

impl Watch for Log {
    fn data(&mut self, data: &Bytes) {
        self.0.lock().unwrap().push(Seen::Data(data.clone()));
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.0.lock().unwrap().push(Seen::Trailers(trailers.clone()));
    }

    fn end(&mut self, end: BodyEnd) {
        self.0.lock().unwrap().push(Seen::End(end));
    }
}

fn data(bytes: &'static [u8]) -> Seen {
    Seen::Data(Bytes::from_static(bytes))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))])
}

fn watched(steps: impl IntoIterator<Item = Step>) -> (WatchedBody<ScriptedBody, Log>, Log) {
    let log = Log::default();
    (WatchedBody::new(ScriptedBody::new(steps), log.clone()), log)
}

#[tokio::test]
async fn a_body_taken_to_its_end_is_complete() {
    let (mut body, log) = watched([Step::Data(b"ab"), Step::Pending, Step::Data(b"c")]);
    while body.frame().await.is_some() {}
    // Polled past its end, it has still ended once.
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(log.seen(), [data(b"ab"), data(b"c"), Seen::End(BodyEnd::Complete)]);
}

#[tokio::test]
async fn trailers_are_an_end_of_their_own() {
    let (mut body, log) = watched([Step::Data(b"a"), Step::Trailers(trailers())]);
    while body.frame().await.is_some() {}
    drop(body);
    assert_eq!(log.seen(), [data(b"a"), Seen::Trailers(trailers()), Seen::End(BodyEnd::Trailers)]);
}

#[tokio::test]
async fn trailers_end_the_body_without_a_further_poll() {
    let (mut body, log) = watched([Step::Trailers(trailers())]);
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(log.ends(), [BodyEnd::Trailers]);
}

#[tokio::test]
async fn an_error_is_an_end() {
    let (mut body, log) = watched([Step::Data(b"a"), Step::Error, Step::Data(b"never told")]);
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_err());
    // Whoever polls on gets what the body gives, but the watch has been told its end.
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(log.seen(), [data(b"a"), Seen::End(BodyEnd::Error)]);
}

#[tokio::test]
async fn a_body_dropped_half_way_is_cancelled() {
    let (mut body, log) = watched([Step::Data(b"a"), Step::Stall]);
    assert!(body.frame().await.unwrap().is_ok());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(&mut body).poll_frame(&mut cx).is_pending());
    assert_eq!(log.ends(), []);
    drop(body);
    assert_eq!(log.ends(), [BodyEnd::Cancelled]);
}

#[test]
fn a_body_never_polled_is_cancelled() {
    let (body, log) = watched([Step::Data(b"a")]);
    drop(body);
    assert_eq!(log.seen(), [Seen::End(BodyEnd::Cancelled)]);
}

#[test]
fn a_panic_of_the_body_cancels_it_once() {
    struct Panics;

    impl Body for Panics {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            panic!("scripted");
        }
    }

    let log = Log::default();
    let body = WatchedBody::new(Panics, log.clone());
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let _never = pin!(body).poll_frame(&mut cx);
    }));
    assert!(panicked.is_err());
    assert_eq!(log.ends(), [BodyEnd::Cancelled]);
}

#[test]
fn an_empty_body_has_ended_before_it_is_polled() {
    let log = Log::default();
    let body = WatchedBody::new(Empty::<Bytes>::new(), log.clone());
    assert_eq!(log.ends(), [BodyEnd::Complete]);
    drop(body);
    assert_eq!(log.ends(), [BodyEnd::Complete]);
}

#[tokio::test]
async fn the_last_frame_is_the_end_when_is_end_stream_is_true() {
    let log = Log::default();
    let mut body = WatchedBody::new(Full::new(Bytes::from_static(b"abc")), log.clone());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.is_end_stream());
    assert_eq!(log.seen(), [data(b"abc"), Seen::End(BodyEnd::Complete)]);
}

/// HTTP/1.1: the server has as many bytes as were announced, and drops the body.
#[tokio::test]
async fn all_announced_bytes_and_a_drop_are_complete() {
    let log = Log::default();
    let steps = [Step::Data(b"ab"), Step::Data(b"c"), Step::Stall];
    let mut body = WatchedBody::new(ScriptedBody::new(steps).announce(3), log.clone());
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(log.seen(), [data(b"ab"), data(b"c"), Seen::End(BodyEnd::Complete)]);
}

#[tokio::test]
async fn fewer_bytes_than_announced_and_a_drop_are_cancelled() {
    let log = Log::default();
    let body = ScriptedBody::new([Step::Data(b"ab"), Step::Stall]).announce(3);
    let mut body = WatchedBody::new(body, log.clone());
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(log.ends(), [BodyEnd::Cancelled]);
}

/// HTTP/2: trailers follow a `content-length`, and so may an error.
#[tokio::test]
async fn frames_after_the_announced_bytes_are_still_seen() {
    for (last, end) in [
        (Step::Trailers(trailers()), BodyEnd::Trailers),
        (Step::Error, BodyEnd::Error),
        (Step::Pending, BodyEnd::Complete),
    ] {
        let log = Log::default();
        let body = ScriptedBody::new([Step::Data(b"abc"), last]).announce(3);
        let mut body = WatchedBody::new(body, log.clone());
        while let Some(Ok(_)) = body.frame().await {}
        drop(body);
        assert_eq!(log.ends(), [end]);
    }
}

fn answer(status: u16, length: Option<&str>, method: &Method) -> (Response<()>, Log) {
    let log = Log::default();
    let mut response = Response::new(ScriptedBody::new([Step::Data(b"abc"), Step::Stall]));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(length) = length {
        response.headers_mut().insert("content-length", length.parse().unwrap());
    }
    let response = WatchedBody::of_response(response, method, log.clone());
    let ended = log.ends();
    let (parts, body) = response.into_parts();
    drop(body);
    assert!(ended.is_empty() || ended == log.ends(), "told twice: {:?}", log.ends());
    (Response::from_parts(parts, ()), log)
}

#[test]
fn a_body_that_no_server_sends_has_ended_with_the_head() {
    for (status, method) in [
        (200, Method::HEAD),
        (500, Method::HEAD),
        (101, Method::GET),
        (204, Method::POST),
        (304, Method::GET),
    ] {
        let (response, log) = answer(status, Some("3"), &method);
        assert_eq!((response.status().as_u16(), log.ends()), (status, vec![BodyEnd::Complete]));
    }
    let (_, log) = answer(200, None, &Method::GET);
    assert_eq!(log.ends(), [BodyEnd::Cancelled]);
}

#[test]
fn a_content_length_of_zero_is_complete_unpolled() {
    assert_eq!(answer(200, Some("0"), &Method::GET).1.ends(), [BodyEnd::Complete]);
    // Not a length (RFC 9110 section 8.6), so nothing is known of the end.
    for odd in ["+0", "-0", "0x0", "", "0, 0", " "] {
        assert_eq!(answer(200, Some(odd), &Method::GET).1.ends(), [BodyEnd::Cancelled], "{odd:?}");
    }
}

#[tokio::test]
async fn the_content_length_field_announces_when_the_body_does_not() {
    let log = Log::default();
    let response = Response::builder()
        .header("content-length", "3")
        .body(ScriptedBody::new([Step::Data(b"abc"), Step::Stall]))
        .unwrap();
    let response = WatchedBody::of_response(response, &Method::GET, log.clone());
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(log.ends(), [BodyEnd::Complete]);
}

proptest! {
    /// Whatever a body does, and wherever it is dropped: what is polled is what it gives, the watch
    /// sees the same, and the end is told once.
    #[test]
    fn each_end_is_reported_exactly_once(
        steps in proptest::collection::vec(0_u8..5, 0..8),
        announced in proptest::option::of(0_u64..12),
        polls in 0_usize..12,
    ) {
        let body = || {
            let body = ScriptedBody::new(steps.iter().map(|step| match step {
                0 => Step::Data(b"abc"),
                1 => Step::Data(b""),
                2 => Step::Pending,
                3 => Step::Trailers(trailers()),
                _ => Step::Error,
            }));
            match announced {
                Some(length) => body.announce(length),
                None => body,
            }
        };
        let log = Log::default();
        let (mut plain, mut watched) = (body(), WatchedBody::new(body(), log.clone()));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            let expected = pin!(&mut plain).poll_frame(&mut cx);
            let got = pin!(&mut watched).poll_frame(&mut cx);
            prop_assert_eq!(format!("{expected:?}"), format!("{got:?}"));
            prop_assert!(log.ends().len() <= 1);
        }
        drop(watched);
        prop_assert_eq!(log.ends().len(), 1);
        prop_assert!(matches!(log.seen().last(), Some(Seen::End(_))));
    }
}

#[tokio::test]
async fn an_inner_body_passes_untouched() {
    let steps = || [Step::Data(b"ab"), Step::Pending, Step::Trailers(trailers())];
    let mut body = ResponseBody::inner(ScriptedBody::new(steps()).announce(2));
    assert_eq!(body.size_hint().exact(), Some(2));
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(format!("{:?}", frame.unwrap()));
    }
    let expected = [Frame::data(Bytes::from("ab")), Frame::trailers(trailers())];
    assert_eq!(frames, expected.map(|frame| format!("{frame:?}")));

    let error = ResponseBody::inner(ScriptedBody::new([Step::Error])).collect().await;
    assert_eq!(error.unwrap_err().to_string(), "scripted");
}

#[tokio::test]
async fn a_full_body_knows_its_size_and_its_end() {
    let mut body = ResponseBody::<Empty<Bytes>>::full(Bytes::from("abc"));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(body.frame().await.is_none());

    let mut empty = ResponseBody::<Empty<Bytes>>::full(Bytes::new());
    assert!(empty.is_end_stream() && empty.frame().await.is_none());
}

#[test]
fn the_bodies_are_what_their_parts_are() {
    fn sound<T: Send + Sync + Unpin + 'static>() {}
    sound::<ResponseBody<Full<Bytes>>>();
    sound::<WatchedBody<Full<Bytes>, Log>>();
}
