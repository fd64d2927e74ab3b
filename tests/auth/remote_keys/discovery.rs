//! Discovery documents and addresses.

use super::*;

#[tokio::test]
async fn discovery_finds_the_keys() {
    let provider = FakeProvider::new();
    let (layer, source, _clock) = layer_of(RemoteKeys::discovery(ISSUER, provider.client()));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    let document = format!("{ISSUER}/.well-known/openid-configuration");
    assert_eq!(provider.seen(), [document.as_str(), JWKS_URI]);

    for (document, error) in [
        (
            r#"{"issuer":"https://evil.example","jwks_uri":"https://keys.example/jwks.json"}"#,
            KeysError::IssuerMismatch,
        ),
        (
            r#"{"issuer":"https://issuer.example/","jwks_uri":"https://keys.example/jwks.json"}"#,
            KeysError::IssuerMismatch,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://keys.example/jwks.json"}"#,
            KeysError::InsecureUrl,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://127.0.0.1/jwks.json"}"#,
            KeysError::InsecureUrl,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"file:///etc/passwd"}"#,
            KeysError::InvalidUrl,
        ),
        (r#"{"issuer":"https://issuer.example"}"#, KeysError::Malformed),
        (
            r#"{"issuer":"https://issuer.example","issuer":"https://issuer.example","jwks_uri":"https://keys.example"}"#,
            KeysError::Malformed,
        ),
    ] {
        provider.document(document);
        let calls = provider.calls();
        assert_eq!(source.refresh().await, Err(error), "{document}");
        assert_eq!(provider.calls(), calls, "the keys were asked for");
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    }
}

#[test]
fn insecure_and_invalid_addresses_are_rejected() {
    let client = || FakeProvider::new().client();
    let built = |remote: RemoteKeys| remote.build().map(|_| ());
    for address in
        ["https://a.example", "http://127.0.0.1:8080", "http://[::1]", "http://localhost/x"]
    {
        assert_eq!(built(RemoteKeys::discovery(address, client())), Ok(()), "{address}");
        assert_eq!(built(RemoteKeys::jwks(address, client())), Ok(()), "{address}");
    }
    let plain = "http://a.example";
    let insecure = Err(KeysError::InsecureUrl);
    assert_eq!(built(RemoteKeys::discovery(plain, client())), insecure);
    assert_eq!(built(RemoteKeys::jwks(plain, client())), insecure);
    assert_eq!(built(RemoteKeys::jwks(plain, client()).dangerous_plain_http()), Ok(()));
    for address in ["", "/keys", "ftp://a.example", "https://user:secret@a.example"] {
        let invalid = Err(KeysError::InvalidUrl);
        assert_eq!(built(RemoteKeys::jwks(address, client()).dangerous_plain_http()), invalid);
    }
}

#[tokio::test]
async fn https_client_can_fetch_keys() {
    // This checks the types. No server listens on the port.
    let client = HttpsClient::builder().dangerous_plain_http().build::<Payload>().unwrap();
    let source = RemoteKeys::discovery("http://127.0.0.1:9", client).build().unwrap();
    assert_eq!(source.refresh().await, Err(KeysError::Unreachable));
}
