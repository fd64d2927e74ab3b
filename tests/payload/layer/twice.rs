//! Two layers, one inside of the other.

use super::*;

#[tokio::test]
async fn second_layer_reuses_the_payload_of_the_first() {
    let request = post().body(full(r#"{"model":"m"}"#)).unwrap();
    let first = send(PayloadLayer::new(), request).await.unwrap();
    let document: *const _ = first.body().document().unwrap();
    for layer in [PayloadLayer::new(), PayloadLayer::bytes(), PayloadLayer::streamed()] {
        let mut again = Request::new(first.body().try_clone().unwrap());
        *again.headers_mut() = first.headers().clone();
        let second = send(layer, again).await.unwrap();
        assert!(std::ptr::eq(document, second.body().document().unwrap()));
    }
}

#[tokio::test]
async fn bytes_are_recognized_behind_a_hidden_type() {
    let request = post().body(full(r#"{"model":"m"}"#)).unwrap();
    let first = send(PayloadLayer::new(), request).await.unwrap();
    let kept = first.body().try_clone().unwrap();
    let document: *const _ = kept.document().unwrap();
    let second = send(PayloadLayer::new(), first.map(axum::body::Body::new)).await.unwrap();
    assert!(std::ptr::eq(document, second.body().document().unwrap()));
    assert_eq!(RequestContext::of(second.extensions()).unwrap().outcome().bytes_in, 13);
}

/// What a second layer reads when something between it and the first has changed the body.
async fn read_again(first: ScriptedBody, changed: impl FnOnce(Bytes) -> Vec<Step>) -> Payload {
    let first = send(PayloadLayer::new(), post().body(first).unwrap()).await.unwrap();
    let context = RequestContext::of(first.extensions()).unwrap().clone();
    let body = ScriptedBody::new(changed(first.body().bytes().unwrap().clone()));
    let second = post().extension(context).body(body).unwrap();
    send(PayloadLayer::new(), second).await.unwrap().into_body()
}

#[tokio::test]
async fn other_bytes_are_read_again() {
    let first = || ScriptedBody::new([Step::Data(b"1234")]);
    let part = read_again(first(), |bytes| vec![Step::Bytes(bytes.slice(..2))]).await;
    assert_eq!(part.document().unwrap().root().as_u64(), Some(12));
    let more = read_again(first(), |bytes| vec![Step::Bytes(bytes), Step::Data(b"5")]).await;
    assert_eq!(more.document().unwrap().root().as_u64(), Some(12_345));

    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let first = ScriptedBody::new([Step::Data(b"1234"), Step::Trailers(trailers)]);
    let bare = read_again(first, |bytes| vec![Step::Bytes(bytes)]).await;
    assert!(bare.collect().await.unwrap().trailers().is_none());
}

#[tokio::test]
async fn stricter_bounds_apply_in_either_order() {
    let request = || post().body(full("[[1]]")).unwrap();
    for (row, (wide, strict, expected)) in [
        (PayloadLayer::new(), PayloadLayer::new().max_body_bytes(4), Refusal::PayloadTooLarge),
        (PayloadLayer::new(), PayloadLayer::new().max_depth(1), Refusal::PayloadTooLarge),
        (PayloadLayer::new(), PayloadLayer::new().max_values(2), Refusal::PayloadTooLarge),
        (PayloadLayer::bytes(), PayloadLayer::new().max_depth(1), Refusal::PayloadTooLarge),
        (PayloadLayer::bytes().max_depth(1), PayloadLayer::new(), Refusal::PayloadTooLarge),
    ]
    .into_iter()
    .enumerate()
    {
        let first = send(wide, request()).await.unwrap();
        let context = RequestContext::of(first.extensions()).unwrap().clone();
        let body = axum::body::Body::new(first.body().try_clone().unwrap());
        let hidden = post().extension(context).body(body).unwrap();
        assert_eq!(refusal(strict.clone(), hidden).await.0, expected);
        let (reason, response) = refusal(strict, first).await;
        assert_eq!(reason, expected);
        let position = response.extensions().get::<Rejection>().unwrap().position();
        // What is too long has no place.
        assert_eq!(position, [None, Some(1), Some(2), Some(1), Some(1)][row]);
    }
    // Streamed twice: the body fails at the lower limit, wherever that was set.
    for (first, second) in [(3, 10), (10, 3)] {
        let body = ScriptedBody::new([Step::Data(b"abcd")]);
        let once =
            send(PayloadLayer::streamed().max_body_bytes(first), Request::new(body)).await.unwrap();
        let twice = send(PayloadLayer::streamed().max_body_bytes(second), once).await.unwrap();
        let error = twice.into_body().collect().await.unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge(Some(3))));
    }
}

#[tokio::test]
async fn streamed_payload_is_read_by_an_inner_json_layer() {
    let body = ScriptedBody::new([Step::Data(b"[1,"), Step::Data(b"2]")]);
    let request = post().body(body).unwrap();
    let streamed = send(PayloadLayer::streamed(), request).await.unwrap();
    let read = send(PayloadLayer::new(), streamed).await.unwrap();
    assert_eq!(read.body().document().unwrap().root().len(), 2);
    // Counted once.
    assert_eq!(RequestContext::of(read.extensions()).unwrap().outcome().bytes_in, 5);

    let body = ScriptedBody::new([Step::Data(b"[1,"), Step::Data(b"2]")]);
    let streamed =
        send(PayloadLayer::streamed().max_body_bytes(4), post().body(body).unwrap()).await.unwrap();
    assert_eq!(refusal(PayloadLayer::new(), streamed).await.0, Refusal::PayloadTooLarge);
}
