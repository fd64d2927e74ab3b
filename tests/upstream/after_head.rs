//! Deadlines and errors of the response body.

use std::task::ready as try_ready;

use http::HeaderMap;
use tokio::time::Sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_body_without_a_first_byte_within_five_minutes_fails() {
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new([Step::Stall])).await;
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::FirstByteTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_idle_for_five_minutes_fails() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Data(b"b"), Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    for expected in ["a", "b"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_moves_an_armed_timer() {
    let steps = [Step::Pending, Step::Data(b"a"), Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_deadlines_of_the_body_are_settable() {
    let layer = UpstreamLayer::new()
        .first_byte_timeout(SECOND)
        .idle_timeout(2 * SECOND)
        .total_timeout(Duration::MAX);
    let start = Instant::now();
    let mut body = body_of(layer.clone(), ScriptedBody::new([Step::Stall])).await;
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::FirstByteTimeout);
    assert_eq!(start.elapsed(), SECOND);

    let steps = [Step::Pending, Step::Data(b"a"), Step::Stall];
    let mut body = body_of(layer, ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn time_between_polls_does_not_count_as_idle() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    tokio::time::advance(5 * MINUTE).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(5 * MINUTE).await;
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrived_in_time_are_delivered_after_the_deadline() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Data(b"b")];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    assert!(poll_once(&mut body).is_pending());
    tokio::time::advance(5 * MINUTE).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "b");
}

/// A frame of the same data again and again.
#[derive(Debug)]
struct Drip {
    data: &'static [u8],
    every: Duration,
    wait: Pin<Box<Sleep>>,
    alive: Option<Alive>,
}

impl Drip {
    fn new(data: &'static [u8], every: Duration) -> Self {
        Self { data, every, wait: Box::pin(tokio::time::sleep(every)), alive: None }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        try_ready!(self.wait.as_mut().poll(cx));
        let next = Instant::now() + self.every;
        self.wait.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.data)))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_active_response_ends_after_fifteen_minutes() {
    let service = responding(|| Response::new(Drip::new(b"token", 10 * SECOND)));
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let (mut body, start, mut frames) = (body(response), Instant::now(), 0);
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, frames), (BodyError::TotalTimeout, 89));
    assert_eq!(start.elapsed(), 15 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_total_starts_with_the_call_and_covers_a_body_that_never_waits() {
    let client = service_fn(async |_: Request<()>| {
        tokio::time::sleep(4 * MINUTE).await;
        let steps = (0..9).map(|_| Step::Data(b"x"));
        Ok::<_, io::Error>(Response::new(ScriptedBody::new(steps)))
    });
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    let mut body = body(response);
    tokio::time::advance(10 * MINUTE).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(MINUTE).await;
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::TotalTimeout);
}

#[tokio::test(start_paused = true)]
async fn empty_frames_do_not_reset_the_idle_timeout() {
    let service = responding(|| Response::new(Drip::new(b"", 10 * SECOND)));
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let (mut body, start) = (body(response), Instant::now());
    let error = loop {
        if let Err(error) = body.frame().await.unwrap() {
            break error;
        }
    };
    assert_eq!((error, start.elapsed()), (BodyError::FirstByteTimeout, 5 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_the_upstreams_body_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|_: Request<()>| {
        let mut body = Drip::new(b"", 60 * MINUTE);
        body.alive = Some(Alive::new(&alive));
        ready(Ok::<_, io::Error>(Response::new(body)))
    });
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let mut body = body(response);
    assert_eq!(alive.load(Relaxed), 1);
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(alive.load(Relaxed), 0);
    drop(body);
}

#[tokio::test]
async fn a_body_that_fails_is_a_body_error_without_its_message() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let steps = [Step::Data(b"a"), Step::Error];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    drop(guard);
    assert_eq!(error, BodyError::Broken);
    assert!(error.source().is_none());
    assert!(log.text().contains("WARN") && !log.text().contains("scripted"), "{}", log.text());
}

#[tokio::test]
async fn trailers_pass() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let steps = [Step::Data(b"a"), Step::Trailers(trailers.clone())];
    let body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    assert_eq!(body.collect().await.unwrap().trailers(), Some(&trailers));
}

#[test]
fn a_body_error_names_its_deadline() {
    let errors = [
        (BodyError::FirstByteTimeout, "begin"),
        (BodyError::IdleTimeout, "idle"),
        (BodyError::TotalTimeout, "total"),
        (BodyError::Broken, "broke"),
    ];
    for (error, word) in errors {
        let message = error.to_string();
        assert!(message.contains(word) && message == message.to_lowercase(), "{message}");
    }
}
