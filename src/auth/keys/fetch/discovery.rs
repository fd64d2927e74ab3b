//! The discovery document of an issuer.

use bytes::Bytes;
use http::Uri;

use crate::{
    address_reach::Reach,
    auth::keys::{document::parse_document, error::KeysFault},
    fetch::{FetchFault, Transport, absolute, same_host, short, transport},
};

/// Returns the address of the discovery document of `issuer` (OpenID Connect Discovery 1.0 sections
/// 3 and 4.1).
pub(crate) fn well_known(issuer: &str) -> Result<Uri, FetchFault> {
    const DOCUMENT: &str = "/.well-known/openid-configuration";
    if issuer.contains(['?', '#']) {
        return Err(FetchFault::InvalidUrl("an issuer has no query and no fragment"));
    }
    absolute(issuer)?;
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    if base.ends_with(DOCUMENT) {
        return Err(FetchFault::InvalidUrl(
            "it is the address of the discovery document; give the issuer, which is the part \
             before /.well-known",
        ));
    }
    absolute(&format!("{base}{DOCUMENT}"))
}

/// The address of the keys and the addresses that its host may have.
pub(crate) struct Discovered {
    pub(crate) uri: Uri,
    pub(crate) reach: Reach,
}

/// Returns the address of the keys from the discovery document of `issuer`. The document must name
/// `issuer` exactly (OpenID Connect Discovery 1.0 section 4.3). The address must not use a less
/// secure transport than `weakest`. Its host must be the one of the document, which the user trusts, or
/// have public addresses.
pub(crate) fn jwks_uri(
    document: Bytes,
    issuer: &str,
    address: &Uri,
    weakest: Transport,
) -> Result<Discovered, KeysFault> {
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
    let host = uri.host().unwrap_or_default();
    if transport(&uri) > weakest {
        return Err(KeysFault::InsecureUrl(short(host)));
    }
    let reach = if same_host(&uri, address) { Reach::NotLinkLocal } else { Reach::Public };
    if !reach.allows_host(host) {
        return Err(FetchFault::AddressRefused { host: short(host), reach }.into());
    }
    Ok(Discovered { uri, reach })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_document_is_below_the_path_of_the_issuer() {
        let document = |issuer: &str| well_known(issuer).map(|uri| uri.to_string());
        for (issuer, address) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            (
                "https://a.example:8443/t/1",
                "https://a.example:8443/t/1/.well-known/openid-configuration",
            ),
            ("https://a.example/t/", "https://a.example/t/.well-known/openid-configuration"),
        ] {
            assert_eq!(document(issuer).unwrap(), address);
        }
        for issuer in [
            "",
            "a.example",
            "/t",
            "ftp://a.example",
            "https://",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://user:word@a.example",
            "https://a b.example",
            "https://a.example/.well-known/openid-configuration",
        ] {
            assert!(matches!(document(issuer), Err(FetchFault::InvalidUrl(_))), "{issuer}");
        }
    }

    #[test]
    fn document_names_its_issuer_exactly_and_keeps_the_transport() {
        let uri = |issuer: &str, keys: &str, weakest| {
            let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","more":[]}}"#);
            let own = if weakest == Transport::Loopback { "http://localhost" } else { issuer };
            let own = own.parse().unwrap_or_default();
            jwks_uri(document.into(), "https://a.example", &own, weakest)
                .map(|found| found.uri.to_string())
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
            let own = Uri::from_static("https://a.example");
            let rejected = jwks_uri(document.into(), "https://a.example", &own, Transport::Https);
            let rejected = rejected.map(|found| found.uri);
            assert!(matches!(rejected, Err(KeysFault::Malformed(_))), "{document}");
        }
    }

    #[test]
    fn another_host_must_not_be_a_private_address() {
        let reach = |address: &'static str, keys: &str| {
            let document = format!(r#"{{"issuer":"i","jwks_uri":"{keys}"}}"#);
            let address = Uri::from_static(address);
            jwks_uri(document.into(), "i", &address, Transport::Loopback).map(|found| found.reach)
        };
        let private = |host: &str| Err(KeysFault::PrivateAddress(host.into()));
        assert_eq!(reach("https://a.example", "https://A.example:8443/k"), Ok(Reach::NotLinkLocal));
        assert_eq!(reach("https://10.0.0.1", "https://10.0.0.1/k"), Ok(Reach::NotLinkLocal));
        assert_eq!(reach("https://localhost", "https://127.0.0.1/k"), Ok(Reach::NotLinkLocal));
        assert_eq!(reach("https://a.example", "https://b.example/k"), Ok(Reach::Public));
        assert_eq!(reach("https://a.example", "https://10.0.0.1/k"), private("10.0.0.1"));
        assert_eq!(reach("https://10.0.0.2", "https://10.0.0.1/k"), private("10.0.0.1"));
        let link_local = KeysFault::LinkLocalAddress("169.254.169.254".into());
        assert_eq!(reach("https://a.example", "https://169.254.169.254/k"), Err(link_local));
    }
}
