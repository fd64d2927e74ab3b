//! `StalledReaderLayer`: which readers are cut off, when, and what is given back.

mod support;

use std::{
    convert::Infallible,
    error::Error as _,
    future::ready,
    io, panic,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use support::{ScriptedBody, Step};
use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, sleep, sleep_until},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    limits::{Concurrency, Limit, Rate},
    record::{Record, RequestOutcome},
    stack::Stack,
    stalled_reader::{BodyError, ResponseBody, StalledReaderLayer},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    upstream::UpstreamLayer,
};

const TIMEOUT: Duration = Duration::from_secs(40);
/// The layer cuts off no reader later than this.
const LATEST: Duration = Duration::from_secs(50);
const SECOND: Duration = Duration::from_secs(1);

fn layer() -> StalledReaderLayer {
    StalledReaderLayer::new().idle_timeout(TIMEOUT)
}

/// Owns something as long as it lives.
struct Owning {
    body: ScriptedBody,
    _owned: Arc<()>,
}

impl Body for Owning {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn respond<B>(layer: &StalledReaderLayer, body: B) -> ResponseBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = Some(body);
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(body.take().unwrap())))
    });
    let Ok(response) = layer.layer(service).call(Request::new(())).await;
    response.into_body()
}

/// A guarded body of these steps, and what it owns.
async fn guarded(layer: &StalledReaderLayer, body: ScriptedBody) -> (ResponseBody, Arc<()>) {
    let owned = Arc::new(());
    let body = Owning { body, _owned: Arc::clone(&owned) };
    (respond(layer, body).await, owned)
}

fn live() -> (UnboundedSender<Step>, ScriptedBody) {
    let (sender, steps) = unbounded_channel();
    (sender, ScriptedBody::live(steps))
}

fn poll_once(body: &mut ResponseBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// Asserts that what the body owns is given back between the timeout, counted from now, and
/// `LATEST`.
async fn assert_cut(owned: &Arc<()>) {
    let start = Instant::now();
    sleep_until(start + TIMEOUT - SECOND / 1_000).await;
    assert_eq!(Arc::strong_count(owned), 2, "too early");
    sleep_until(start + LATEST + SECOND / 1_000).await;
    assert_eq!(Arc::strong_count(owned), 1, "not at all");
}

async fn assert_stalled(body: &mut ResponseBody) {
    assert!(matches!(body.frame().await, Some(Err(BodyError::Stalled))));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_after_a_frame_is_cut_off() {
    let layer = layer();
    let steps = [Step::Data(b"one"), Step::Data(b"two")];
    let (mut body, owned) = guarded(&layer, ScriptedBody::new(steps)).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_cut(&owned).await;
    assert_stalled(&mut body).await;
    assert_eq!(layer.cut_responses(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_never_polled_is_cut_off() {
    let layer = layer();
    // Between two sweeps.
    let _other = respond(&layer, Full::new(Bytes::from_static(b"other"))).await;
    sleep(SECOND * 3).await;
    let (mut body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    assert_cut(&owned).await;
    assert_stalled(&mut body).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_silent_upstream_is_not_cut_off() {
    let layer = layer();
    let (upstream, body) = live();
    let (mut body, owned) = guarded(&layer, body).await;
    let reading = tokio::spawn(async move {
        let frame = body.frame().await.unwrap().unwrap();
        (frame.into_data().unwrap(), body)
    });
    sleep(SECOND * 3_600).await;
    assert_eq!(Arc::strong_count(&owned), 2);
    upstream.send(Step::Data(b"late")).unwrap();
    let (data, body) = reading.await.unwrap();
    assert_eq!(data, "late");
    // Now it is its turn.
    assert_cut(&owned).await;
    drop(body);
    assert_eq!(layer.cut_responses(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_woken_and_does_not_poll_is_cut_off() {
    let layer = layer();
    let (upstream, body) = live();
    let (mut body, owned) = guarded(&layer, body).await;
    assert!(poll_once(&mut body).is_pending());
    sleep(TIMEOUT * 10).await;
    assert_eq!(Arc::strong_count(&owned), 2);
    upstream.send(Step::Data(b"one")).unwrap();
    assert_cut(&owned).await;
    assert_stalled(&mut body).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_not_cut_off() {
    let layer = layer();
    let steps = std::iter::repeat_with(|| Step::Data(b"one")).take(20);
    let (mut body, _owned) = guarded(&layer, ScriptedBody::new(steps)).await;
    for _ in 0..20 {
        sleep(TIMEOUT - SECOND).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    }
    assert!(body.frame().await.is_none());
    assert_eq!(layer.cut_responses(), 0);
}

#[tokio::test(start_paused = true)]
async fn resources_of_a_body_are_released_after_its_end_too() {
    // hyper holds a body that has ended until the client has taken the last frame.
    let layer = layer();
    let (mut body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
    assert_cut(&owned).await;
    assert!(body.frame().await.is_none(), "it was complete");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_for_ever_cuts_off_nobody() {
    let layer = StalledReaderLayer::new().idle_timeout(Duration::MAX);
    let (_body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    sleep(SECOND * 3_600 * 24 * 365).await;
    assert_eq!(Arc::strong_count(&owned), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_pauses_between_sweeps() {
    let layer = StalledReaderLayer::new().idle_timeout(Duration::ZERO);
    let (_body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&owned), 1);
}

#[tokio::test(start_paused = true)]
async fn the_default_is_a_minute() {
    let (_body, owned) = guarded(&StalledReaderLayer::new(), ScriptedBody::default()).await;
    sleep(SECOND * 60 - SECOND / 1_000).await;
    assert_eq!(Arc::strong_count(&owned), 2);
    sleep(SECOND * 15 + SECOND / 500).await;
    assert_eq!(Arc::strong_count(&owned), 1);
}

/// Slot, permit and record are those of other layers, further in.
#[tokio::test(start_paused = true)]
async fn slot_permit_and_record_are_given_back_while_the_server_still_owns_the_body() {
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&records);
    let log = AccessLogLayer::sink(move |record: &Record<'_>| {
        sink.lock().unwrap().push((record.outcome(), record.bytes_out()));
    });
    let client = service_fn(|_: Request<_>| {
        let steps = [Step::Data(b"one"), Step::Data(b"two")];
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new(steps))))
    });
    let stack = |slots: usize, permits: u32| {
        Stack::new()
            .upstream(UpstreamLayer::new().max_in_flight(slots))
            .throttle(ThrottleLayer::new(Limit::global(Concurrency::new(permits))))
            .access_log(log.clone())
            .stalled_reader(layer())
            .layer(client)
    };
    let request = || Request::new(Empty::<Bytes>::new());
    for (service, busy) in [
        (stack(1, 9), StatusCode::SERVICE_UNAVAILABLE),
        (stack(9, 1), StatusCode::TOO_MANY_REQUESTS),
    ] {
        let response = service.clone().oneshot(request()).await.unwrap();
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(service.clone().oneshot(request()).await.unwrap().status(), busy);
        records.lock().unwrap().clear();

        sleep(LATEST + SECOND).await;
        assert_eq!(*records.lock().unwrap(), [(RequestOutcome::Cancelled, 3)]);
        assert_eq!(service.oneshot(request()).await.unwrap().status(), StatusCode::OK);
        assert_stalled(&mut body).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_settled_to_what_was_delivered() {
    let client = service_fn(|_: Request<_>| {
        let steps = [Step::Data(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n")];
        let steps = steps.into_iter().chain([Step::Data(b"data: [DONE]\n\n")]);
        let mut response = Response::new(ScriptedBody::new(steps));
        let event_stream = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, event_stream);
        ready(Ok::<_, Infallible>(response))
    });
    let service = Stack::new()
        .token_budget(TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000))))
        .stalled_reader(layer())
        .layer(client);
    let request = || {
        let body = r#"{"model":"m","messages":[],"stream":true,"max_tokens":600}"#;
        let request = Request::post("/v1/chat/completions");
        let request = request.header(CONTENT_TYPE, "application/json");
        request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
    };
    let mut body = service.clone().oneshot(request()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let refused = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    sleep(LATEST + SECOND).await;
    assert_eq!(service.oneshot(request()).await.unwrap().status(), StatusCode::OK);
    assert_stalled(&mut body).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_as_it_is_dropped_does_not_end_the_sweep() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("scripted"));
        }
    }
    impl Body for Panics {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Pending
        }
    }
    let layer = layer();
    let mut broken = Vec::new();
    for _ in 0..8 {
        broken.push(respond(&layer, Panics).await);
    }
    let (_body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    assert_cut(&owned).await;
    // The task goes on.
    let (_body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
    assert_cut(&owned).await;
    assert_eq!(layer.cut_responses(), 10);
}

#[tokio::test(start_paused = true)]
async fn errors_and_hints_of_the_inner_body_pass() {
    let steps = [Step::Data(b"one"), Step::Error];
    let (mut body, _owned) = guarded(&layer(), ScriptedBody::new(steps).announce(7)).await;
    assert_eq!(body.size_hint().exact(), Some(7));
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().is_ok());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the response body failed");
    assert_eq!(error.source().unwrap().to_string(), "scripted");
    assert_eq!(BodyError::Stalled.to_string(), "the client stopped reading the response");
    assert!(BodyError::Stalled.source().is_none());

    let empty = respond(&layer(), Empty::<Bytes>::new()).await;
    assert!(empty.is_end_stream());
    assert_eq!(empty.size_hint().exact(), Some(0));
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_body_and_starts_again_with_the_next() {
    let layer = layer();
    assert_eq!(tasks(), 0);
    for _ in 0..3 {
        let (one, two) = (
            guarded(&layer, ScriptedBody::default()).await,
            guarded(&layer, ScriptedBody::default()).await,
        );
        assert_eq!(tasks(), 1, "one for all bodies");
        drop((one, two));
        sleep(LATEST).await;
        assert_eq!(tasks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_layer() {
    let layer = layer();
    drop(guarded(&layer, ScriptedBody::default()).await);
    assert_eq!(tasks(), 1);
    drop(layer);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), 0);
}

#[test]
fn a_runtime_that_ended_does_not_keep_the_next_one_from_sweeping() {
    let layer = layer();
    let runtime = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ended = runtime();
    let (_body, early) = ended.block_on(guarded(&layer, ScriptedBody::new([Step::Stall])));
    drop(ended);
    runtime().block_on(async {
        let (_body, owned) = guarded(&layer, ScriptedBody::new([Step::Data(b"one")])).await;
        assert_cut(&owned).await;
        assert_eq!(Arc::strong_count(&early), 1, "that of the ended runtime as well");
    });
}

#[test]
fn outside_a_runtime_bodies_pass() {
    let layer = layer();
    let mut cx = Context::from_waker(Waker::noop());
    let mut responding =
        Box::pin(guarded(&layer, ScriptedBody::new([Step::Pending, Step::Data(b"one")])));
    let Poll::Ready((mut body, _owned)) = responding.as_mut().poll(&mut cx) else { panic!() };
    assert!(poll_once(&mut body).is_pending());
    assert!(matches!(poll_once(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(poll_once(&mut body), Poll::Ready(None)));
}

/// A place is used again, and a waker of its last body may come late.
#[tokio::test(start_paused = true)]
async fn the_waker_of_an_earlier_body_cuts_off_nobody_else() {
    /// Gives its waker away.
    struct Leaky(Arc<Mutex<Option<Waker>>>);
    impl Body for Leaky {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            *self.0.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }
    }
    let layer = layer();
    let mut stale = Vec::new();
    for _ in 0..64 {
        let waker = Arc::default();
        let mut body = respond(&layer, Leaky(Arc::clone(&waker))).await;
        assert!(poll_once(&mut body).is_pending());
        stale.extend(waker.lock().unwrap().take());
    }
    let mut readers = Vec::new();
    for _ in 0..64 {
        let (mut body, _owned) = guarded(&layer, ScriptedBody::new([Step::Stall])).await;
        readers.push(tokio::spawn(async move { body.frame().await.is_some() }));
    }
    for _ in 0..20 {
        sleep(TIMEOUT / 2).await;
        stale.iter().for_each(Waker::wake_by_ref);
    }
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    assert_eq!(layer.cut_responses(), 0);
}

/// Readers on several threads, against a sweep that comes as often as it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_body_ends_whole_or_cut_off_whatever_the_schedule() {
    let layer = StalledReaderLayer::new().idle_timeout(Duration::from_millis(1));
    let all = Arc::new(());
    let readers = (0..8).map(|_| {
        let (layer, all) = (layer.clone(), Arc::clone(&all));
        tokio::spawn(async move {
            let mut stalled = 0;
            for _ in 0..200 {
                let steps = [Step::Data(b"one"), Step::Pending, Step::Data(b"two"), Step::Pending];
                let body = Owning { body: ScriptedBody::new(steps), _owned: Arc::clone(&all) };
                match respond(&layer, body).await.collect().await {
                    Ok(whole) => assert_eq!(whole.to_bytes(), "onetwo"),
                    Err(BodyError::Stalled) => stalled += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            stalled
        })
    });
    let mut stalled = 0;
    for reader in readers.collect::<Vec<_>>() {
        stalled += reader.await.unwrap();
    }
    // A body that is swept after its end is no error for its reader.
    assert!(layer.cut_responses() >= stalled);
    assert_eq!(Arc::strong_count(&all), 1);
}

#[test]
fn the_parts_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<StalledReaderLayer>();
    check::<ResponseBody>();
    check::<BodyError>();
}
