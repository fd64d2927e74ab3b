//! Responses with a key set or a discovery document.

use super::*;

/// Fetches this body with this content type.
async fn fetched(content_type: Option<&'static str>, body: Vec<u8>) -> Result<(), KeysError> {
    let client = service_fn(move |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::new(Bytes::from(body.clone())));
        if let Some(kind) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        async { Ok::<_, Infallible>(response) }
    });
    RemoteKeys::jwks(JWKS_URI, client).build().unwrap().refresh().await
}

#[tokio::test]
async fn content_type_of_a_key_set_is_ignored() {
    let jwks = crate::issuer::jwks();
    for kind in [
        None,
        Some("application/json"),
        Some("application/jwk-set+json"),
        Some("application/json;charset=UTF8"),
        Some("text/html; charset=utf-8"),
        Some("text/plain"),
        Some("application/octet-stream"),
    ] {
        for (before, after) in [("", ""), ("\u{feff}", ""), ("", "\n"), ("\u{feff}\r\n ", "\r\n\t")]
        {
            let body = format!("{before}{jwks}{after}").into_bytes();
            assert_eq!(fetched(kind, body).await, Ok(()), "{kind:?} {before:?} {after:?}");
        }
    }
    // A web page. An array of keys. One key. A map of certificates as at Google's older address.
    // Two byte-order marks. UTF-16. Unrequested gzip.
    let utf16: Vec<u8> = jwks.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [
        b"<!doctype html><title>Sign in</title>".to_vec(),
        json!([RSA.jwk()]).to_string().into_bytes(),
        RSA.jwk().to_string().into_bytes(),
        br#"{"6719678351a5": "-----BEGIN CERTIFICATE-----"}"#.to_vec(),
        format!("\u{feff}\u{feff}{jwks}").into_bytes(),
        utf16,
        b"\x1f\x8b\x08\0\0\0\0\0".to_vec(),
    ] {
        assert_eq!(fault(fetched(Some("application/json"), body).await), "Malformed");
    }
}

#[tokio::test]
async fn discovery_document_may_begin_with_a_byte_order_mark() {
    let provider = crate::fake_provider::FakeProvider::new();
    let document = format!("\u{feff}{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"{JWKS_URI}\"}}\n");
    provider.document(&document);
    let source = RemoteKeys::discovery(ISSUER, provider.client()).build().unwrap();
    assert_eq!(source.refresh().await, Ok(()));
}
