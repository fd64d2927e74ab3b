//! The runtime that the layer needs, and its cost.

use super::*;

#[test]
fn an_immediate_response_needs_no_runtime() {
    let client = responding(|| Response::new(Full::new(Bytes::from("x"))));
    let mut service = UpstreamLayer::new().layer(client);
    let mut call = Box::pin(service.call(request()));
    let response = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = response else { panic!("not ready") };
    assert!(poll_once(&mut body(response)).is_ready());
}

#[test]
fn waiting_outside_a_runtime_panics() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().layer(client);
    let mut call = Box::pin(service.call(request()));
    let poll = AssertUnwindSafe(|| {
        let _pending = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    assert!(std::panic::catch_unwind(poll).is_err());
}

#[tokio::test]
async fn only_a_body_that_waits_allocates_and_only_its_timer() {
    // Pending once, at the head; no box of its own.
    #[derive(Debug, Default)]
    struct Once(bool);
    impl Future for Once {
        type Output = Result<Response<ScriptedBody>, io::Error>;
        fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
            if std::mem::replace(&mut self.0, true) {
                let body = std::mem::take(&mut *BODY.lock().unwrap());
                return Poll::Ready(Ok(Response::new(body.unwrap())));
            }
            Poll::Pending
        }
    }
    static BODY: std::sync::Mutex<Option<ScriptedBody>> = std::sync::Mutex::new(None);

    let passes = ScriptedBody::new([Step::Data(b"a"), Step::Data(b"b")]);
    let waits = [Step::Pending, Step::Data(b"a"), Step::Pending, Step::Data(b"b")];
    let waits = ScriptedBody::new(waits);
    for (body, polls, allocations) in [(passes, 3, 0), (waits, 5, 1)] {
        *BODY.lock().unwrap() = Some(body);
        let mut service = UpstreamLayer::new().layer(service_fn(|_: Request<()>| Once::default()));
        let mut request = Request::get("/")
            .header("content-type", "application/json")
            .header("connection", "keep-alive")
            .body(())
            .unwrap();
        request.extensions_mut().insert(RequestContext::new());

        let counted = allocation_counter::measure(|| {
            let mut cx = Context::from_waker(Waker::noop());
            let mut call = std::pin::pin!(service.call(request));
            assert!(call.as_mut().poll(&mut cx).is_pending());
            let Poll::Ready(Ok(response)) = call.poll(&mut cx) else { panic!("not ready") };
            let mut body = std::pin::pin!(response.into_body());
            let ready = (0..polls).filter(|_| body.as_mut().poll_frame(&mut cx).is_ready()).count();
            assert_eq!(ready, 3);
        });
        assert_eq!(counted.count_total, allocations);
    }
}

#[test]
fn auto_traits_follow_the_inner_types() {
    fn check<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    check::<UpstreamLayer>();
    check::<Upstream<()>>();
    check::<BodyError>();
    fn check_pinned<T: Send + Sync + fmt::Debug + 'static>() {}
    check_pinned::<tower_inference::upstream::ResponseFuture<Ready<()>, (), (), Empty<Bytes>>>();
    check_pinned::<ResponseBody<Empty<Bytes>>>();
}
