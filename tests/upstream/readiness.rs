//! The readiness of the HTTP client.

use super::*;
use crate::support::Probe;

/// A client that fails, waits or is ready as told, and counts what happens to it.
#[derive(Clone, Debug)]
struct Moody {
    ready: Poll<Result<(), ()>>,
    polled: Arc<AtomicUsize>,
}

impl Moody {
    fn new(ready: Poll<Result<(), ()>>) -> Self {
        Self { ready, polled: Arc::default() }
    }
}

impl Service<Request<()>> for Moody {
    type Response = Response<Empty<Bytes>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.polled.fetch_add(1, Relaxed);
        self.ready.map_err(|()| io::Error::other("closed"))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        assert_eq!(self.ready, Poll::Ready(Ok(())), "called though it is not ready");
        ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn a_client_that_failed_in_poll_ready_is_a_502_from_then_on() {
    let client = Moody::new(Poll::Ready(Err(())));
    let mut service = UpstreamLayer::new().layer(client.clone());
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
    // What failed is not asked again (`tower_service::Service::poll_ready`); a clone of it is.
    assert_eq!(client.polled.load(Relaxed), 1);
    service.clone().ready().await.unwrap();
    assert_eq!(client.polled.load(Relaxed), 2);
}

#[test]
fn readiness_of_the_client_is_forwarded() {
    let mut service = UpstreamLayer::new().layer(Moody::new(Poll::Pending));
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn only_the_instance_that_was_ready_is_called() {
    let mut service = UpstreamLayer::new()
        .layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::new([Step::Data(b"x")]))));
    for _ in 0..2 {
        let _unready = service.clone();
        drop(service.ready().await.unwrap().call(request()));
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        drop(response.into_body());
    }
    service.clone().oneshot(request()).await.unwrap();
}
