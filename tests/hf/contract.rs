//! The contract of a service, and the cost of a request.

use std::{
    fmt,
    task::{Context, Poll, Waker},
};

use tower_inference::hf::{HfToken, ResponseFuture};

use super::*;

#[tokio::test]
async fn only_the_instance_that_was_ready_is_called() {
    let mut service =
        layer().layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::new([Step::Stall]))));
    for _ in 0..2 {
        let _unready = service.clone();
        drop(service.ready().await.unwrap().call(Request::new(())));
        let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        drop(response.into_body());
    }
    service.clone().oneshot(Request::new(())).await.unwrap();
}

#[test]
fn auto_traits_follow_the_inner_types() {
    fn check<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    check::<HfTokenLayer>();
    check::<HfToken<()>>();
    check::<ResponseFuture<Ready<()>, (), ()>>();
    check::<ResponseBody<Empty<Bytes>>>();
    check::<TokenSource>();
    check::<Origin>();
}

#[test]
fn passing_allocates_nothing() {
    let folder = Folder::new();
    fs::write(folder.file("token"), TOKEN).unwrap();
    let sources = [source(), TokenSource::file(folder.file("token")).unwrap()];
    for source in sources {
        let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source);
        let next = Mutex::new(None);
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(next.lock().unwrap().take().unwrap()))
        }));
        let request = || {
            let mut request = Request::post("/v1/chat/completions")
                .header("host", "gateway.example")
                .header("accept", "application/json")
                .header("user-agent", "OpenAI/Python 3.54.0")
                .header("authorization", "Bearer the-callers")
                .header("content-type", "application/json")
                .header("content-length", "320")
                .header("x-request-id", "018f")
                .header("connection", "keep-alive")
                .body(())
                .unwrap();
            request.extensions_mut().insert(RequestContext::new());
            let response = Response::builder()
                .header("content-type", "text/event-stream")
                .header("date", "Mon, 23 Nov 2026 00:00:00 GMT")
                .header("x-trace", "a value that is longer than the token that is looked for");
            *next.lock().unwrap() = Some(response.body(Full::from("data")).unwrap());
            request
        };
        let mut pass = |request| {
            let mut cx = Context::from_waker(Waker::noop());
            let mut call = std::pin::pin!(service.call(request));
            let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else {
                panic!("not ready")
            };
            let mut body = std::pin::pin!(response.into_body());
            assert!(http_body::Body::poll_frame(body.as_mut(), &mut cx).is_ready());
        };
        // The first ever makes what the others share.
        pass(request());
        let request = request();
        assert_eq!(allocation_counter::measure(|| pass(request)).count_total, 0);
    }
}

#[tokio::test]
async fn shared_state_is_made_by_new_and_not_by_layer() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "first").unwrap();
    let filed = Filed::new(folder.file("token"));
    let echo = || {
        service_fn(|request: Request<()>| {
            let length = request.headers()["authorization"].len();
            let response = Response::builder().header("x-length", length);
            ready(Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap()))
        })
    };
    let (one, other) = (filed.layer.layer(echo()), filed.layer.layer(echo()));
    fs::write(folder.file("token"), "second-one").unwrap();
    filed.clock.advance(Duration::from_secs(1));
    // The first who comes looks for both.
    for service in [one, other] {
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.headers()["x-length"], "17");
    }
}
