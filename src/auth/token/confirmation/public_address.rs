//! The address that clients send their requests to.

use http::{Uri, uri::Scheme};

/// An address of a server and the path below which the gateway is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PublicAddress {
    origin: Origin,
    /// Without a slash at its end.
    path: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl PublicAddress {
    /// Returns `None` unless the text is an absolute http or https URL without user and query.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
        let origin = Origin::of(&uri).filter(|_| uri.query().is_none())?;
        Some(Self { origin, path: normal_path(uri.path()).trim_end_matches('/').to_owned() })
    }

    /// Returns whether `htu` is this address with the path of the request (RFC 9449 section 4.3).
    ///
    /// Query and fragment do not count. Both are normalized by RFC 3986 sections 6.2.2.1, 6.2.2.2 and
    /// 6.2.3. Dot segments are compared as they are.
    pub(super) fn is_target(&self, htu: &str, request_path: &str) -> bool {
        let Ok(uri) = htu.parse::<Uri>() else { return false };
        Origin::of(&uri).as_ref() == Some(&self.origin)
            && normal_path(uri.path()).strip_prefix(&*self.path)
                == Some(&*normal_path(request_path))
    }
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        if !https && uri.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = authority.host().to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { https, host, port })
    }
}

/// Decodes escapes of unreserved characters and writes the others in capital letters.
fn normal_path(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            normal.push('%');
            rest = after;
            continue;
        };
        match u8::from_str_radix(digits, 16).map(char::from) {
            Ok(decoded @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~')) => {
                normal.push(decoded);
            }
            _ => {
                normal.push('%');
                normal.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    normal.push_str(rest);
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_the_address_and_the_path_of_the_request() {
        let address = PublicAddress::parse("https://Gateway.Example").unwrap();
        for htu in [
            "https://gateway.example/v1/chat",
            "HTTPS://GATEWAY.example:443/v1/chat",
            "https://gateway.example/v1/chat?x=1",
            "https://gateway.example/v1/chat#x",
            "https://gateway.example/%76%31/chat",
        ] {
            assert!(address.is_target(htu, "/v1/chat"), "{htu}");
        }
        for htu in [
            "http://gateway.example/v1/chat",
            "https://gateway.example:8443/v1/chat",
            "https://gateway.example.evil.example/v1/chat",
            "https://u@gateway.example/v1/chat",
            "https://gateway.example/v1/chat/",
            "https://gateway.example/v1/x/../chat",
            "https://gateway.example/V1/chat",
            "https://gateway.example/v1%2Fchat",
            "https://gateway.example",
            "/v1/chat",
            "",
        ] {
            assert!(!address.is_target(htu, "/v1/chat"), "{htu}");
        }
        assert!(address.is_target("https://gateway.example", "/"));
        assert!(address.is_target("https://gateway.example/a%2fb%", "/a%2Fb%"));
    }

    #[test]
    fn address_may_have_a_path() {
        for text in ["http://10.0.0.1:8080/llm", "http://10.0.0.1:8080/llm/"] {
            let address = PublicAddress::parse(text).unwrap();
            assert!(address.is_target("http://10.0.0.1:8080/llm/v1", "/v1"));
            assert!(!address.is_target("http://10.0.0.1:8080/v1", "/v1"));
            assert!(!address.is_target("http://10.0.0.1:8080/llmx/v1", "/v1"));
        }
        for text in [
            "",
            "gateway.example",
            "/v1",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example/?x=1",
            "https://a.example/#x",
        ] {
            assert!(PublicAddress::parse(text).is_none(), "{text}");
        }
    }
}
