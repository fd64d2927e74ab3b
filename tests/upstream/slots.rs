//! The slots of requests in flight.

use http::Method;

use super::*;

async fn is_free<S, R>(service: &Upstream<S>) -> bool
where
    S: Service<Request<()>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let response = service.clone().oneshot(request()).await.unwrap();
    response.status() != StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn a_request_beyond_the_slots_is_rejected_at_once() {
    let service = UpstreamLayer::new()
        .max_in_flight(2)
        .layer(responding(|| Response::new(ScriptedBody::new([Step::Stall]))));
    let first = service.clone().oneshot(request()).await.unwrap();
    let second = service.clone().oneshot(request()).await.unwrap();
    let context = RequestContext::new();
    let mut third = request();
    third.extensions_mut().insert(context.clone());
    let third = service.clone().oneshot(third).await.unwrap();
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(third.headers()["retry-after"], "1");
    assert_eq!((context.outcome().rejection, context.outcome().attempts), (Some("overloaded"), 0));
    drop(first);
    assert!(is_free(&service).await);
    drop(second);
}

#[tokio::test]
async fn slots_are_shared_by_all_services_of_a_layer() {
    let layer = UpstreamLayer::new().max_in_flight(1);
    let stalled = || Response::new(ScriptedBody::new([Step::Stall]));
    let _taken = layer.layer(responding(stalled)).oneshot(request()).await.unwrap();
    assert!(!is_free(&layer.clone().layer(responding(stalled))).await);
}

#[tokio::test]
async fn the_default_is_1024_slots() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().layer(client);
    let _in_flight: Vec<_> = (0..1_024).map(|_| service.call(request())).collect();
    assert!(!is_free(&service).await);
}

#[tokio::test]
async fn the_end_of_the_body_frees_the_slot_before_the_drop() {
    let service = UpstreamLayer::new()
        .max_in_flight(1)
        .layer(responding(|| Response::new(Full::new(Bytes::from("whole")))));
    let mut body = body(service.clone().oneshot(request()).await.unwrap());
    assert!(!is_free(&service).await);
    body.frame().await.unwrap().unwrap();
    assert!(is_free(&service).await);
    drop(body);
    // Given back once: a second time would make room for two.
    let kept = service.clone().oneshot(request()).await.unwrap();
    assert!(!is_free(&service).await);
    drop(kept);
}

#[tokio::test]
async fn a_response_without_a_body_frees_the_slot_at_once() {
    let service = UpstreamLayer::new()
        .max_in_flight(1)
        .layer(responding(|| Response::new(ScriptedBody::new([Step::Stall]))));
    let mut head = request();
    *head.method_mut() = Method::HEAD;
    let kept = service.clone().oneshot(head).await.unwrap();
    assert!(is_free(&service).await);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn every_other_end_frees_the_slot() {
    // A body that breaks, kept.
    let steps = || Response::new(ScriptedBody::new([Step::Error]));
    let service = UpstreamLayer::new().max_in_flight(1).layer(responding(steps));
    let mut body = body(service.clone().oneshot(request()).await.unwrap());
    body.frame().await.unwrap().unwrap_err();
    assert!(is_free(&service).await);

    // A call that is dropped, before and after its first poll.
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().max_in_flight(1).layer(client);
    drop(service.call(request()));
    let mut call = Box::pin(service.call(request()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(!is_free(&service).await);
    drop(call);

    // A call that is late, kept.
    let mut late = Box::pin(service.call(request()));
    assert_eq!(late.as_mut().await.unwrap().status(), 504);
    let mut again = Box::pin(service.call(request()));
    assert_eq!(again.as_mut().await.unwrap().status(), 504);
}

#[tokio::test]
async fn a_panic_frees_the_slot() {
    let client = service_fn(|request: Request<()>| async move {
        assert_ne!(request.uri().path(), "/panic");
        Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let service = UpstreamLayer::new().max_in_flight(1).layer(client);
    let panicking = Request::get("/panic").body(()).unwrap();
    let call = tokio::spawn(service.clone().oneshot(panicking));
    assert!(call.await.unwrap_err().is_panic());
    assert!(is_free(&service).await);

    // In `call` itself.
    let panics = service_fn(|_: Request<()>| -> Ready<io::Result<Response<Empty<Bytes>>>> {
        panic!("in call")
    });
    let mut service = UpstreamLayer::new().max_in_flight(1).layer(panics);
    for _ in 0..2 {
        let call = std::panic::catch_unwind(AssertUnwindSafe(|| drop(service.call(request()))));
        assert!(call.is_err(), "refused, because the slot was lost");
    }
}
