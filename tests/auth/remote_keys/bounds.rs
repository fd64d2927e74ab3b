//! Bounds on responses and waiting requests.

use super::*;

#[tokio::test]
async fn response_body_is_bounded() {
    let set = crate::issuer::jwks();
    let provider = FakeProvider::new();
    let (_, source, _) = layer_of(provider.source().max_body_bytes(set.len()));
    assert_eq!(source.refresh().await, Ok(()));
    let (_, source, _) = layer_of(provider.source().max_body_bytes(set.len() - 1));
    assert_eq!(fault(source.refresh().await), "TooLarge");

    // An endless body and a body that announces its length.
    let bodies: [fn() -> ScriptedBody; 2] = [
        || ScriptedBody::new((0..525).map(|_| Step::Data(&[b' '; 1_000]))),
        || ScriptedBody::new([Step::Stall]).announce((512 << 10) + 1),
    ];
    for body in bodies {
        let client = service_fn(move |_: Request<Empty<Bytes>>| async move {
            Ok::<_, std::io::Error>(Response::new(body()))
        });
        let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
        assert_eq!(fault(source.refresh().await), "TooLarge");
    }
}

#[tokio::test]
async fn broken_body_is_an_error() {
    let client = service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, std::io::Error>(Response::new(ScriptedBody::new([Step::Data(b"{"), Step::Error])))
    });
    let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
    assert_eq!(fault(source.refresh().await), "Unreachable");
    let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client_with_other_types()));
    assert_eq!(source.refresh().await, Ok(()));
}

#[tokio::test]
async fn number_of_waiting_requests_is_bounded() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, source, _clock) = layer_of(provider.source().max_waiting(3));
    let waiting: Vec<_> = (0..3).map(|_| spawn(&layer, ed("EdDSA"))).collect();
    settle().await;
    let outcome = try_token(&layer, &ed("EdDSA")).await;
    assert_eq!(outcome.refusal(), UNAVAILABLE);
    assert_eq!(outcome.headers["retry-after"], "1");
    assert_eq!(fault(source.refresh().await), "Busy");
    provider.release();
    for request in waiting {
        assert!(request.await.unwrap().passed());
    }

    // The wait permits of dropped requests are returned.
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, source, _clock) = layer_of(provider.source().max_waiting(1));
    for _ in 1..10 {
        let gone = spawn(&layer, ed("EdDSA"));
        settle().await;
        gone.abort();
        assert!(gone.await.is_err());
        // All requests joined the same fetch.
        assert_eq!((provider.calls(), provider.dropped()), (1, 0));
    }
    provider.release();
    assert_eq!(source.refresh().await, Ok(()));
}
