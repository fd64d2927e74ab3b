//! The contract of a service for requests that wait.

use super::*;

#[tokio::test]
async fn ready_instance_is_called_after_the_wait() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, _source, _clock) = layer_of(provider.source());
    let mut service = layer.layer(Probe::new(|_request: Request<Full<Bytes>>| {
        Response::new(Full::<Bytes>::default())
    }));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        waiting.push(tokio::spawn(service.call(bearer(&ed("EdDSA")))));
    }
    settle().await;
    provider.release();
    for response in waiting {
        assert_eq!(response.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn request_can_be_dropped_at_any_point() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, _source, _clock) = layer_of(provider.source());
    let mut service = layer.layer(Probe::new(|_request: Request<Full<Bytes>>| {
        Response::new(Full::<Bytes>::default())
    }));
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    // Before and after the first poll.
    drop(service.call(bearer(&ed("EdDSA"))));
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    let mut future = Box::pin(service.call(bearer(&ed("EdDSA"))));
    let polled =
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(polled);
    drop(future);
    provider.release();
}
