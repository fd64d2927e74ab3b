//! The contract of a service.

use tower::service_fn;

use super::*;

#[tokio::test]
async fn inner_error_passes_unchanged() {
    let failing = service_fn(|_: Request<Payload>| async {
        Err::<Response<Empty<Bytes>>, &'static str>("inner")
    });
    let response = PayloadLayer::new().layer(failing).oneshot(post().body(full("{}")).unwrap());
    assert_eq!(response.await.unwrap_err(), "inner");
}

#[test]
fn readiness_is_that_of_the_inner_service() {
    struct Busy;
    impl Service<Request<Payload>> for Busy {
        type Response = Response<Empty<Bytes>>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err("closed"))
        }

        fn call(&mut self, _request: Request<Payload>) -> Self::Future {
            unreachable!("never ready")
        }
    }
    impl Clone for Busy {
        fn clone(&self) -> Self {
            Self
        }
    }
    let mut service = PayloadLayer::new().layer(Busy);
    let mut cx = Context::from_waker(Waker::noop());
    let ready = Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx);
    assert_eq!(ready, Poll::Ready(Err("closed")));
}

/// Counts itself while it lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Body for Alive {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_while_it_is_read_drops_everything() {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = service_fn(|_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = PayloadLayer::new().layer(inner);
    let service = ServiceExt::<Request<Alive>>::ready(&mut service).await.unwrap();
    let extension = Arc::new(Alive::new(&count));
    let body = Alive::new(&count);
    let mut call = Box::pin(service.call(post().extension(extension).body(body).unwrap()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(count.load(Relaxed), 2);
    drop(call);
    assert_eq!(count.load(Relaxed), 0);
}

#[test]
fn layer_is_as_thread_safe_as_its_parts() {
    fn check<T: Send + Sync + 'static>(_: T) {}
    let layer = PayloadLayer::new();
    check(layer.clone());
    let mut service = layer.layer(service_fn(|_: Request<Payload>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    check(service.clone());
    check(service.call(Request::new(full(""))));
}
