//! The addresses that a fetch may reach.

use super::*;

/// An issuer whose document names `jwks_uri`. Its keys are fetched by an `HttpsClient`.
fn discovered(jwks_uri: &str) -> KeySource {
    let document = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{jwks_uri}"}}"#);
    let https = HttpsClient::builder().build_for::<Empty<Bytes>>().unwrap();
    let client = service_fn(move |request: Request<Empty<Bytes>>| {
        let (document, https) = (document.clone(), https.clone());
        async move {
            if request.uri().host() == Some("issuer.example") {
                return Ok(Response::new(Full::from(document)));
            }
            let response = https.oneshot(request).await?;
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            Ok::<_, tower_inference::client::Error>(Response::new(Full::new(body.to_bytes())))
        }
    });
    RemoteKeys::discovery(ISSUER, client).build().unwrap()
}

#[tokio::test]
async fn discovered_host_must_have_public_addresses() {
    // A name of this machine, which the client resolves. Literal addresses.
    for host in ["localhost:9", "127.0.0.1:9", "10.0.0.1", "[::1]:9", "[fd00::1]", "100.64.0.1"] {
        let source = discovered(&format!("https://{host}/keys"));
        let error = source.refresh().await.unwrap_err();
        let name = host.trim_end_matches(":9");
        assert_eq!(error.fault, KeysFault::PrivateAddress(name.into()), "{host}");
        assert!(error.to_string().contains("RemoteKeys::jwks"), "{error}");
    }
    for host in ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]"] {
        let source = discovered(&format!("https://{host}/keys"));
        assert_eq!(fault(source.refresh().await), "LinkLocalAddress", "{host}");
    }
    // An encoded form of 169.254.169.254 that resolvers take.
    assert_eq!(fault(discovered("https://2852039166/keys").refresh().await), "InvalidUrl");
}

#[tokio::test]
async fn configured_address_may_be_private() {
    // Nothing listens there. The client tries.
    let https = || HttpsClient::builder().build().unwrap();
    for address in ["http://127.0.0.1:9/keys", "http://localhost:9/keys", "https://127.0.0.1:9/k"] {
        let source = RemoteKeys::jwks(address, https()).build().unwrap();
        assert_eq!(fault(source.refresh().await), "Unreachable", "{address}");
    }
    // The issuer's own host is configured too.
    let provider = FakeProvider::new();
    provider.document(r#"{"issuer":"https://10.0.0.1","jwks_uri":"https://10.0.0.1:8443/keys"}"#);
    let source = RemoteKeys::discovery("https://10.0.0.1", provider.client()).build().unwrap();
    assert_eq!(source.refresh().await, Ok(()));
}

#[test]
fn configured_link_local_address_is_refused() {
    for host in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        let client = || FakeProvider::new().client();
        let (keys, issuer) = (format!("https://{host}/keys"), format!("https://{host}"));
        let built = [RemoteKeys::jwks(keys, client()), RemoteKeys::discovery(issuer, client())];
        for remote in built {
            assert_eq!(fault(remote.dangerous_plain_http().build()), "LinkLocalAddress", "{host}");
        }
    }
}
