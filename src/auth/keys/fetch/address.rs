//! Addresses of key sets and discovery documents.

use http::{Uri, uri::Scheme};

use crate::{
    auth::keys::error::KeysFault,
    loopback::{is_loopback, without_scheme},
};

/// Parses an absolute address. It rejects user information, because a password must not reach a
/// log.
pub(crate) fn absolute(address: &str) -> Result<Uri, KeysFault> {
    let invalid = |reason| Err(KeysFault::InvalidUrl(reason));
    if !address.contains("://") {
        return invalid(match without_scheme(address) {
            Some(_this_machine) => "it has no scheme; write http:// in front of the host",
            None => "it has no scheme; write https:// in front of the host",
        });
    }
    let Ok(uri) = address.parse::<Uri>() else { return invalid("it cannot be parsed") };
    let Some(authority) = uri.authority() else { return invalid("it has no host") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return invalid("its scheme is another one");
    }
    if authority.as_str().contains('@') {
        return invalid("it has a user name or a password");
    }
    if authority.host().is_empty() {
        return invalid("it has no host");
    }
    Ok(uri)
}

/// Returns the address of the discovery document of `issuer` (OpenID Connect Discovery 1.0 sections
/// 3 and 4.1).
pub(crate) fn well_known(issuer: &str) -> Result<Uri, KeysFault> {
    const DOCUMENT: &str = "/.well-known/openid-configuration";
    if issuer.contains(['?', '#']) {
        return Err(KeysFault::InvalidUrl("an issuer has no query and no fragment"));
    }
    absolute(issuer)?;
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    if base.ends_with(DOCUMENT) {
        return Err(KeysFault::InvalidUrl(
            "it is the address of the discovery document; give the issuer, which is the part \
             before /.well-known",
        ));
    }
    absolute(&format!("{base}{DOCUMENT}"))
}

/// How a request reaches an address. The safest transport comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Transport {
    Https,
    /// Plain `http` that does not leave the machine.
    Loopback,
    PlainHttp,
}

pub(crate) fn transport(uri: &Uri) -> Transport {
    if uri.scheme() == Some(&Scheme::HTTPS) {
        Transport::Https
    } else if is_loopback(uri.host().unwrap_or_default()) {
        Transport::Loopback
    } else {
        Transport::PlainHttp
    }
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
            assert!(matches!(document(issuer), Err(KeysFault::InvalidUrl(_))), "{issuer}");
        }
    }

    #[test]
    fn only_loopback_hosts_use_the_loopback_transport() {
        let of = |address: &str| transport(&address.parse().unwrap());
        assert_eq!(of("https://a.example"), Transport::Https);
        for address in
            ["http://127.0.0.1:80", "http://127.1.2.3", "http://[::1]:8080", "http://localhost:1"]
        {
            assert_eq!(of(address), Transport::Loopback, "{address}");
        }
        for address in [
            "http://a.example",
            "http://10.0.0.1",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://[::2]",
            "http://0.0.0.0",
        ] {
            assert_eq!(of(address), Transport::PlainHttp, "{address}");
        }
    }
}
