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
            "IssuerMismatch",
        ),
        (
            r#"{"issuer":"https://issuer.example/","jwks_uri":"https://keys.example/jwks.json"}"#,
            "IssuerMismatch",
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://keys.example/jwks.json"}"#,
            "InsecureUrl",
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://127.0.0.1/jwks.json"}"#,
            "InsecureUrl",
        ),
        (r#"{"issuer":"https://issuer.example","jwks_uri":"file:///etc/passwd"}"#, "InvalidUrl"),
        (r#"{"issuer":"https://issuer.example"}"#, "Malformed"),
        (
            r#"{"issuer":"https://issuer.example","issuer":"https://issuer.example","jwks_uri":"https://keys.example"}"#,
            "Malformed",
        ),
    ] {
        provider.document(document);
        let calls = provider.calls();
        assert_eq!(fault(source.refresh().await), error, "{document}");
        assert_eq!(provider.calls(), calls, "the keys were asked for");
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    }
}

/// auth0/express-openid-connect#203: a client took the page of the redirect for the keys, and one that
/// follows redirects can be led to other keys (symfony/symfony#65951).
#[tokio::test]
async fn a_redirect_to_other_keys_is_not_followed() {
    for discovered in [true, false] {
        let provider = FakeProvider::new();
        provider.status(301);
        let remote = if discovered {
            RemoteKeys::discovery(ISSUER, provider.client())
        } else {
            provider.source()
        };
        let (layer, source, clock) = layer_of(remote);
        let outcome = try_token(&layer, &ed("EdDSA")).await;
        assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
        assert_eq!(outcome.status, 503);
        assert!(outcome.headers.contains_key("retry-after"));
        assert_eq!(provider.seen().len(), 1, "nothing else was asked");
        // Keys that are there stay in use.
        provider.status(200);
        clock.advance(seconds(60));
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        for status in [301, 302, 303, 307, 308] {
            provider.status(status);
            let received = source.refresh().await.unwrap_err();
            assert_eq!(received.fault, KeysFault::Status(status));
            assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        }
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
    let insecure = "InsecureUrl";
    assert_eq!(fault(built(RemoteKeys::discovery(plain, client()))), insecure);
    assert_eq!(fault(built(RemoteKeys::jwks(plain, client()))), insecure);
    assert_eq!(built(RemoteKeys::jwks(plain, client()).dangerous_plain_http()), Ok(()));
    for address in ["", "/keys", "ftp://a.example", "https://user:secret@a.example"] {
        let invalid = "InvalidUrl";
        assert_eq!(
            fault(built(RemoteKeys::jwks(address, client()).dangerous_plain_http())),
            invalid
        );
    }
}

#[tokio::test]
async fn https_client_can_fetch_keys() {
    // This checks the types. No server listens on the port.
    let client = HttpsClient::builder().dangerous_plain_http().build().unwrap();
    let source = RemoteKeys::discovery("http://127.0.0.1:9", client).build().unwrap();
    assert_eq!(fault(source.refresh().await), "Unreachable");
}
