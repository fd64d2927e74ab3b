//! Requests that wait for a slot.

use std::sync::Mutex;

use tower_inference::identity::{Identity, Proof};

use super::*;
use crate::support::Probe;

type Streams = ScriptedBody;

/// Streams until it is dropped.
fn streaming() -> Response<Streams> {
    Response::new(ScriptedBody::new([Step::Data(b"one"), Step::Stall]))
}

fn of(subject: &str) -> Request<()> {
    let mut request = request();
    let identity = Identity::new(Proof::Jwt, "https://issuer.example", subject);
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
    request
}

/// The response of a call that does not wait.
macro_rules! passes {
    ($service:expr, $request:expr) => {{
        let mut call = Box::pin($service.clone().oneshot($request));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => panic!("the request waits"),
        }
    }};
}

/// A call that waits.
macro_rules! waits {
    ($service:expr, $request:expr) => {{
        let mut call = Box::pin($service.clone().oneshot($request));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        call
    }};
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_slots_wait_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let client = {
        let order = Arc::clone(&order);
        service_fn(move |request: Request<()>| {
            order.lock().unwrap().push(request.uri().path().to_owned());
            ready(Ok::<_, io::Error>(streaming()))
        })
    };
    let layer = UpstreamLayer::new().max_in_flight(1).max_queued(2);
    let service = layer.layer(client);
    let at = |path: &str| Request::get(path).body(()).unwrap();
    let first = passes!(service, at("/1"));
    let second = waits!(service, at("/2"));
    let third = waits!(service, at("/3"));
    assert_eq!((layer.in_flight(), layer.queued()), (1, 2));
    // The queue is full.
    let fourth = passes!(service, at("/4"));
    assert_eq!(
        (fourth.status(), &fourth.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1"))
    );
    drop(first);
    drop(second.await.unwrap());
    drop(third.await.unwrap());
    assert_eq!(*order.lock().unwrap(), ["/1", "/2", "/3"]);
    assert_eq!((layer.in_flight(), layer.queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_too_long_is_overloaded() {
    let cases = [
        // The queue's own deadline, then those of the call, which the wait is a part of.
        (UpstreamLayer::new().queue_timeout(2 * SECOND), 2),
        (UpstreamLayer::new(), 30),
        (UpstreamLayer::new().queue_timeout(Duration::MAX).head_timeout(SECOND), 1),
        (UpstreamLayer::new().queue_timeout(MINUTE).total_timeout(3 * SECOND), 3),
        (UpstreamLayer::new().queue_timeout(Duration::ZERO), 0),
    ];
    for (layer, seconds) in cases {
        let layer = layer.max_in_flight(1).max_queued(1);
        let service = layer.layer(responding(streaming));
        let _first = service.clone().oneshot(request()).await.unwrap();
        let start = Instant::now();
        let mut waits = request();
        let context = RequestContext::ensure(waits.extensions_mut());
        let response = service.clone().oneshot(waits).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        let outcome = context.outcome();
        assert_eq!((outcome.rejection, outcome.attempts), (Some("overloaded"), 0));
        assert_eq!((layer.in_flight(), layer.queued()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_beyond_its_share_gets_429() {
    let layer = UpstreamLayer::new().max_in_flight(4).max_queued(4).queue_timeout(2 * SECOND);
    let service = layer.layer(responding(streaming));
    let mut open: Vec<_> = (0..3).map(|_| passes!(service, of("greedy"))).collect();
    // The last slot when the wait begins and when it ends, and the rejection.
    for (taken, rejection, limit) in [
        ([false, false], "throttled", Some("caller-share")),
        ([true, false], "throttled", Some("caller-share")),
        ([false, true], "overloaded", None),
        ([true, true], "overloaded", None),
    ] {
        let mut other = taken[0].then(|| passes!(service, of("other")));
        let greedy = of("greedy");
        let context = RequestContext::of(greedy.extensions()).unwrap().clone();
        let waiting = waits!(service, greedy);
        tokio::time::advance(SECOND).await;
        match taken[1] {
            true if other.is_none() => other = Some(passes!(service, of("other"))),
            true => {}
            false => other = None,
        }
        let response = waiting.await.unwrap();
        let outcome = context.outcome();
        assert_eq!((outcome.rejection, outcome.attempts), (Some(rejection), 0), "{taken:?}");
        assert_eq!(outcome.limited_by.as_deref(), limit, "{taken:?}");
        let status = if limit.is_some() { 429 } else { 503 };
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (status, &HeaderValue::from_static("1"))
        );
        drop(other);
        assert_eq!((layer.in_flight(), layer.queued()), (3, 0));
    }
    // A wait within the share, for slots that are all taken.
    open.push(passes!(service, of("other")));
    let response = waits!(service, of("another")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn the_wait_counts_for_the_deadlines_of_the_call() {
    let client = service_fn(|request: Request<()>| async move {
        if request.uri().path() == "/hangs" {
            pending::<()>().await;
        }
        Ok::<_, io::Error>(streaming())
    });
    let layer = UpstreamLayer::new().max_in_flight(1).max_queued(1).head_timeout(10 * SECOND);
    let service = layer.layer(client);
    let first = service.clone().oneshot(request()).await.unwrap();
    let start = Instant::now();
    let hangs = Request::get("/hangs").body(()).unwrap();
    let second = tokio::spawn(service.clone().oneshot(hangs));
    tokio::time::sleep(4 * SECOND).await;
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_gives_its_place_up() {
    let layer = UpstreamLayer::new().max_in_flight(1).max_queued(1);
    let service = layer.layer(responding(streaming));
    let first = passes!(service, request());
    let second = waits!(service, request());
    assert_eq!(layer.queued(), 1);
    drop(second);
    assert_eq!(layer.queued(), 0);
    let third = waits!(service, request());
    drop(first);
    // The third request has the slot and leaves before it is polled.
    assert_eq!(layer.in_flight(), 1);
    drop(third);
    assert_eq!((layer.in_flight(), layer.queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_caller_cannot_fill_the_queue() {
    let layer = UpstreamLayer::new().max_in_flight(1).max_queued(4);
    let service = layer.layer(responding(streaming));
    let first = passes!(service, of("greedy"));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(waits!(service, of("greedy")));
    }
    let mut beyond = of("greedy");
    let context = RequestContext::ensure(beyond.extensions_mut());
    let beyond = passes!(service, beyond);
    assert_eq!(beyond.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(context.outcome().limited_by.as_deref(), Some("caller-share"));
    let polite = waits!(service, of("polite"));
    // All places are taken: nobody has too many of them.
    let full = passes!(service, of("other"));
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Callers take turns: the polite one is second and not fourth.
    drop(first);
    drop(waiting.remove(0).await.unwrap());
    let polite = polite.await.unwrap();
    assert_eq!((polite.status(), layer.queued()), (StatusCode::OK, 2));
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_its_share_of_the_slots_waits_while_others_pass() {
    let layer = UpstreamLayer::new().max_in_flight(4).max_queued(4);
    let service = layer.layer(responding(streaming));
    let mut open: Vec<_> = (0..3).map(|_| passes!(service, of("greedy"))).collect();
    let waits = waits!(service, of("greedy"));
    let passes = passes!(service, of("polite"));
    assert_eq!(passes.status(), StatusCode::OK);
    drop(passes);
    assert_eq!(layer.queued(), 1);
    open.pop();
    assert_eq!(waits.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_was_ready_waits_with_the_request() {
    let service = UpstreamLayer::new()
        .max_in_flight(1)
        .max_queued(1)
        .layer(Probe::new(|_: Request<()>| streaming()));
    let first = service.clone().oneshot(request()).await.unwrap();
    let second = tokio::spawn(service.clone().oneshot(request()));
    tokio::task::yield_now().await;
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_nobody_waits() {
    let layer = UpstreamLayer::new().max_in_flight(1);
    let service = layer.layer(responding(streaming));
    let _first = passes!(service, request());
    assert_eq!(passes!(service, request()).status(), StatusCode::SERVICE_UNAVAILABLE);
    let layer = UpstreamLayer::new().max_in_flight(0).max_queued(9);
    let service = layer.layer(responding(streaming));
    assert_eq!(passes!(service, request()).status(), StatusCode::SERVICE_UNAVAILABLE);
}
