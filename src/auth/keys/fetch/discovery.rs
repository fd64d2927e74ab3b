//! The discovery document of an issuer.

use bytes::Bytes;
use http::Uri;

use super::address::{Transport, absolute, transport};
use crate::auth::keys::{
    document::parse_document,
    error::{KeysFault, short},
};

/// Returns the address of the keys from the discovery document of `issuer`. The document must name
/// `issuer` exactly (OpenID Connect Discovery 1.0 section 4.3). The address must not use a less
/// secure transport than `weakest`.
pub(crate) fn jwks_uri(
    document: Bytes,
    issuer: &str,
    weakest: Transport,
) -> Result<Uri, KeysFault> {
    let document = parse_document(document)?;
    let text = |name, missing: &'static str| {
        let value = document.root().get(name).and_then(|value| value.as_str());
        value.ok_or_else(|| KeysFault::Malformed(missing.into()))
    };
    let received = text("issuer", "it has no text `issuer`")?;
    if received != issuer {
        let (expected, received) = (short(issuer), short(received));
        return Err(KeysFault::IssuerMismatch { expected, received });
    }
    let uri = absolute(&text("jwks_uri", "it has no text `jwks_uri`")?)?;
    if transport(&uri) <= weakest {
        Ok(uri)
    } else {
        Err(KeysFault::InsecureUrl(short(uri.host().unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_names_its_issuer_exactly_and_keeps_the_transport() {
        let uri = |issuer: &str, keys: &str, weakest| {
            let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","more":[]}}"#);
            jwks_uri(document.into(), "https://a.example", weakest).map(|uri| uri.to_string())
        };
        let (https, plain, loopback) =
            ("https://k.example/k", "http://k.example/k", "http://[::1]/k");
        let (issuer, insecure) =
            ("https://a.example", |host: &str| Err(KeysFault::InsecureUrl(host.into())));
        assert_eq!(uri(issuer, https, Transport::Https).unwrap(), https);
        assert_eq!(uri(issuer, loopback, Transport::Https), insecure("[::1]"));
        assert_eq!(uri(issuer, loopback, Transport::Loopback).unwrap(), loopback);
        assert_eq!(uri(issuer, plain, Transport::Loopback), insecure("k.example"));
        assert_eq!(uri(issuer, plain, Transport::PlainHttp).unwrap(), plain);
        let relative = uri(issuer, "/k", Transport::PlainHttp);
        assert!(matches!(relative, Err(KeysFault::InvalidUrl(_))), "{relative:?}");
        for issuer in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert_eq!(
                uri(issuer, https, Transport::PlainHttp),
                Err(KeysFault::IssuerMismatch {
                    expected: "https://a.example".into(),
                    received: issuer.into()
                }),
                "{issuer}"
            );
        }
        for document in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"https://a.example"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":7}"#,
            r#"{"issuer":["https://a.example"],"jwks_uri":"https://k.example"}"#,
        ] {
            let rejected = jwks_uri(document.into(), "https://a.example", Transport::Https);
            assert!(matches!(rejected, Err(KeysFault::Malformed(_))), "{document}");
        }
    }
}
