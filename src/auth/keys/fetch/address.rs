//! Addresses of key sets and discovery documents.

use http::{Uri, uri::Scheme};

use crate::{auth::keys::error::KeysError, loopback::is_loopback};

/// Parses an absolute address. It rejects user information, because a password must not reach a
/// log.
pub(crate) fn absolute(address: &str) -> Result<Uri, KeysError> {
    let uri: Uri = address.parse().map_err(|_| KeysError::InvalidUrl)?;
    let authority = uri.authority().ok_or(KeysError::InvalidUrl)?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !http || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(KeysError::InvalidUrl);
    }
    Ok(uri)
}

/// Returns the address of the discovery document of `issuer` (OpenID Connect Discovery 1.0 sections
/// 3 and 4.1).
pub(crate) fn well_known(issuer: &str) -> Result<Uri, KeysError> {
    if issuer.contains(['?', '#']) {
        return Err(KeysError::InvalidUrl);
    }
    absolute(issuer)?;
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    absolute(&format!("{base}/.well-known/openid-configuration"))
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
        ] {
            assert_eq!(document(issuer), Err(KeysError::InvalidUrl), "{issuer}");
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
