//! Asks the endpoint about one token (RFC 7662 section 2.1).

use std::{fmt, io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::{
    fetch::{BoxFuture, ExchangeLimits, FetchFault, Reply},
    secret::Secret,
};

/// The maximum size of a response.
pub(super) const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Sends a request through the user's client.
pub(super) type HttpPost = Arc<
    dyn Fn(Request<Bytes>, ExchangeLimits) -> BoxFuture<Result<Reply, FetchFault>> + Send + Sync,
>;

/// Why the endpoint does not tell about a token. The operator's log shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum EndpointFault {
    Unreachable(Option<io::ErrorKind>),
    Timeout,
    Status(u16),
    TooLarge,
    /// The response is not what RFC 7662 says. The text has none of it.
    Malformed(&'static str),
}

impl EndpointFault {
    /// Returns false if another token may well succeed.
    pub(super) const fn is_of_the_endpoint(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout => true,
            Self::Status(status) => !matches!(*status, 200 | 400 | 413 | 414 | 422 | 431),
            Self::TooLarge | Self::Malformed(_) => false,
        }
    }
}

impl From<FetchFault> for EndpointFault {
    fn from(fault: FetchFault) -> Self {
        match fault {
            FetchFault::Unreachable(kind) => Self::Unreachable(kind),
            FetchFault::Timeout => Self::Timeout,
            FetchFault::TooLarge => Self::TooLarge,
            // The client refuses the address that the name resolves to.
            FetchFault::AddressRefused { .. }
            | FetchFault::InvalidUrl(_)
            | FetchFault::InsecureUrl(_) => {
                Self::Unreachable(Some(io::ErrorKind::AddrNotAvailable))
            }
        }
    }
}

impl fmt::Display for EndpointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(Some(kind)) => write!(f, "cannot reach the endpoint: {kind}"),
            Self::Unreachable(None) => {
                f.write_str("cannot reach the endpoint; check the name, the port and the network")
            }
            Self::Timeout => f.write_str(
                "the endpoint did not respond in time; Introspection::timeout sets this bound",
            ),
            Self::Status(status) => {
                let advice = match status {
                    300..=399 => "; redirects are not followed, so give the final address",
                    401 | 403 => "; check the gateway's own credentials at the endpoint",
                    404 | 405 => "; check the address of the endpoint",
                    _ => "",
                };
                write!(f, "expected status 200, received {status}{advice}")
            }
            Self::TooLarge => write!(f, "the response exceeds {MAX_RESPONSE_BYTES} bytes"),
            Self::Malformed(reason) => {
                write!(f, "the response is not one of RFC 7662 section 2.2: {reason}")
            }
        }
    }
}

/// The address of the endpoint and the gateway's own credentials there.
pub(super) struct Endpoint {
    pub(super) post: HttpPost,
    pub(super) uri: Uri,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) limits: ExchangeLimits,
}

impl Endpoint {
    pub(super) async fn ask(&self, token: &Secret) -> Result<Bytes, EndpointFault> {
        let reply = (self.post)(self.request(token), self.limits).await?;
        match reply.status {
            StatusCode::OK => Ok(reply.body),
            other => Err(EndpointFault::Status(other.as_u16())),
        }
    }

    fn request(&self, token: &Secret) -> Request<Bytes> {
        let token = encoded(token.expose());
        let body = Bytes::from(format!("token={}&token_type_hint=access_token", *token));
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// Returns the value of `authorization` for a client with a password (RFC 6749 section 2.3.1). Both
/// parts are encoded as in a form, so that a colon in them is none.
pub(super) fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(secret.expose())));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    sensitive(&value)
}

/// Returns the value of `authorization` for a bearer token.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    let visible = |byte: u8| byte.is_ascii_graphic();
    let token = token.expose();
    let is_valid = !token.is_empty() && token.bytes().all(visible);
    sensitive(&Zeroizing::new(format!("Bearer {token}"))).filter(|_| is_valid)
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Encodes a value of a form (WHATWG URL section 5.2). A space becomes `%20`, which every reader takes.
fn encoded(text: &str) -> Zeroizing<String> {
    const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
    Zeroizing::new(utf8_percent_encode(text, FORM).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_in_a_form() {
        let value = basic("s6BhdRkqt3", &Secret::new("7Fjfp0ZBr1KtDRbnfVdmIw")).unwrap();
        // RFC 6749 section 2.3.1.
        assert_eq!(value, "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
        assert!(value.is_sensitive());
        let value = basic("a:b", &Secret::new("p%/é ~")).unwrap();
        let decoded = STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap());
        assert_eq!(decoded.unwrap(), b"a%3Ab:p%25%2F%C3%A9%20%7E");
    }

    #[test]
    fn bearer_token_must_fit_a_header() {
        assert_eq!(bearer(&Secret::new("abc.~+/=")).unwrap(), "Bearer abc.~+/=");
        for token in ["", "a b", "a\r\nb", "é"] {
            assert!(bearer(&Secret::new(token)).is_none(), "{token:?}");
        }
    }

    #[test]
    fn token_cannot_add_a_parameter() {
        let endpoint = Endpoint {
            post: Arc::new(|_, _| Box::pin(std::future::pending())),
            uri: Uri::from_static("https://issuer.example/introspect"),
            authorization: None,
            limits: ExchangeLimits {
                max_bytes: MAX_RESPONSE_BYTES,
                timeout: std::time::Duration::ZERO,
                plain_http: false,
                reach: crate::address_reach::Reach::NotLinkLocal,
                read_bad_request: false,
            },
        };
        let request = endpoint.request(&Secret::new("a+b/c=&token=d"));
        assert_eq!(request.body(), "token=a%2Bb%2Fc%3D%26token%3Dd&token_type_hint=access_token");
    }
}
