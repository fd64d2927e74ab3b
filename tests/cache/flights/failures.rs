//! Calls that fail.

use std::panic::AssertUnwindSafe;

use super::*;

#[tokio::test]
async fn rejections_are_not_shared() {
    // An inner layer rejects each of the first two calls.
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, request| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if number < 2 {
                let responder = RejectionFormat::Problem.for_request(&request);
                let rejection = Rejection::new(Refusal::Throttled);
                let response = responder.respond::<()>(rejection, &context(&request));
                return Ok(response.map(|_| ScriptedBody::new([Step::Data(b"refused")])));
            }
            Ok(json(&completion(number)))
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let requests: Vec<_> = (0..6).map(|_| plain()).collect();
    let contexts: Vec<_> = requests.iter().map(context).collect();
    let calls: Vec<_> =
        requests.into_iter().map(|request| begin(&layer, &upstream, request)).collect();
    gate.add_permits(100);
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut statuses = Vec::new();
    for (task, context) in tasks.into_iter().zip(contexts) {
        let response = task.await.unwrap().unwrap();
        let refused = response.extensions().get::<Rejection>().is_some();
        assert_eq!(refused, response.status() == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused, context.outcome().rejection.is_some());
        statuses.push(response.status().as_u16());
        assert_eq!(text(response).await.starts_with("refused"), refused);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn errors_are_not_shared() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if number == 0 { Err(Fault) } else { Ok(json(&completion(number))) }
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, second, third] = [(); 3].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    assert_eq!(first.await.err(), Some(Fault));
    // The second request begins its own call, which the third one shares.
    let (second, third) = tokio::join!(second, third);
    assert_eq!(text(second.unwrap()).await, completion(1));
    assert_eq!(text(third.unwrap()).await, completion(1));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_panic_unwinds_in_the_leader() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            assert!(number > 0, "a fault of the client");
            Ok(json(&completion(number)))
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, mut second] = [(); 2].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    // The follower polls the future that panics.
    let second_told = loop {
        if let Poll::Ready(body_of) = poll(&mut second) {
            break body_of;
        }
    };
    assert_eq!(text(second_told.unwrap()).await, completion(1));
    let first = tokio::spawn(first).await;
    assert!(first.unwrap_err().is_panic());
}

#[tokio::test]
async fn a_panic_in_call_leaves_no_flight() {
    #[derive(Clone)]
    struct Panics;
    impl Service<Request<Payload>> for Panics {
        type Response = Response<ScriptedBody>;
        type Error = Fault;
        type Future = UpstreamFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Payload>) -> UpstreamFuture {
            panic!("before there is a future")
        }
    }
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.shared_calls(SharedCalls::new().max_in_flight(1));
    let mut panicking = layer.layer(Panics);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| panicking.call(plain())));
    assert!(panicked.is_err());
    // The bound of one shared call is still free.
    let upstream = Upstream::numbers();
    for _ in 0..2 {
        assert_eq!(body_of(&layer, &upstream, streamed()).await, completion(0));
    }
}

#[tokio::test]
async fn a_failed_body_fails_for_all_readers() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| events([Step::Data(b"data: 1\n\n"), Step::Error]));
    let calls = [(); 2].map(|()| begin(&layer, &upstream, streamed()));
    for call in calls {
        let mut body = call.await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
    assert_eq!((upstream.calls(), layer.entries()), (1, 0));
}
