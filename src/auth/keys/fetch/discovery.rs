//! The discovery document of an issuer.

use bytes::Bytes;
use http::Uri;

use super::address::{Transport, absolute, transport};
use crate::auth::keys::{document::parse_document, error::KeysError};

/// Returns the address of the keys from the discovery document of `issuer`. The document must name
/// `issuer` exactly (OpenID Connect Discovery 1.0 section 4.3). The address must not use a less
/// secure transport than `weakest`.
pub(crate) fn jwks_uri(
    document: Bytes,
    issuer: &str,
    weakest: Transport,
) -> Result<Uri, KeysError> {
    let document = parse_document(document)?;
    let text = |name| document.root().get(name).and_then(|value| value.as_str());
    if text("issuer").ok_or(KeysError::Malformed)? != issuer {
        return Err(KeysError::IssuerMismatch);
    }
    let uri = absolute(&text("jwks_uri").ok_or(KeysError::Malformed)?)?;
    if transport(&uri) <= weakest { Ok(uri) } else { Err(KeysError::InsecureUrl) }
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
        let (issuer, insecure) = ("https://a.example", Err(KeysError::InsecureUrl));
        assert_eq!(uri(issuer, https, Transport::Https).unwrap(), https);
        assert_eq!(uri(issuer, loopback, Transport::Https), insecure);
        assert_eq!(uri(issuer, loopback, Transport::Loopback).unwrap(), loopback);
        assert_eq!(uri(issuer, plain, Transport::Loopback), insecure);
        assert_eq!(uri(issuer, plain, Transport::PlainHttp).unwrap(), plain);
        assert_eq!(uri(issuer, "/k", Transport::PlainHttp), Err(KeysError::InvalidUrl));
        for issuer in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert_eq!(
                uri(issuer, https, Transport::PlainHttp),
                Err(KeysError::IssuerMismatch),
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
            assert_eq!(rejected, Err(KeysError::Malformed), "{document}");
        }
    }
}
