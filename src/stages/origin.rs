use std::{borrow::Cow, error::Error, fmt, str::FromStr, sync::Arc};

use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use percent_encoding::percent_decode_str;

use super::query::without_credentials;
use crate::{error_debug::debug_as_message, loopback::without_scheme, plain_http::PlainHttpTo};

/// The only origin that may receive the token: scheme, host, port and an optional path prefix.
///
/// ```
/// use tower_inference::hf::{Origin, OriginError};
///
/// let router: Origin = "https://router.huggingface.co".parse()?;
/// assert_eq!(router.as_str(), "https://router.huggingface.co");
/// assert!("http://127.0.0.1:8080/v1".parse::<Origin>().is_ok());
/// let plain = "http://tgi.internal".parse::<Origin>();
/// assert_eq!(plain, Err(OriginError::PlainHttp("tgi.internal".into())));
/// # Ok::<(), OriginError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
    // The authority as the `host` header.
    host: HeaderValue,
    // Without its last slash. Empty when there is none.
    prefix: Box<str>,
    name: Arc<str>,
    // `None` where no request needs the permission: with TLS and to this machine.
    plain_http: Option<PlainHttpTo>,
}

impl Origin {
    /// Parses `https://host[:port][/prefix]`.
    ///
    /// `http` is accepted only for this machine: an address in 127.0.0.0/8, `[::1]` or `localhost`.
    /// The path of a request is appended to the prefix byte for byte. An upstream that resolves a
    /// `..` in it leaves the prefix, so a prefix alone is no access control. With
    /// [`Stage::known_paths_only`](super::Stage::known_paths_only) no request leaves the prefix.
    ///
    /// A version at the end of the prefix is not repeated. A request for `/v1/models` goes to
    /// `/v1/models` with and without the prefix `/v1`, because many SDKs count the version among the
    /// base URL.
    ///
    /// # Errors
    ///
    /// Returns an [`OriginError`] for any other text, such as one with a user name, a query or a
    /// fragment.
    pub fn new(origin: &str) -> Result<Self, OriginError> {
        let parsed = Self::parse(origin)?;
        if parsed.plain_http.is_some() {
            return Err(OriginError::PlainHttp(parsed.authority.as_str().into()));
        }
        Ok(parsed)
    }

    /// Parses an origin like [`Origin::new`] and accepts `http` for any host.
    ///
    /// Everyone on the network path can read the token and can respond in place of the upstream.
    /// [`HttpsClient`](crate::client::HttpsClient) needs no switch of its own for this origin.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Origin::new`] except [`OriginError::PlainHttp`].
    pub fn dangerous_plain_http(origin: &str) -> Result<Self, OriginError> {
        Self::parse(origin)
    }

    /// Returns `https://host[:port]` without the prefix and without a default port.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    fn parse(origin: &str) -> Result<Self, OriginError> {
        // The parser drops a fragment silently.
        if origin.contains('#') {
            return Err(OriginError::Fragment);
        }
        if !origin.is_empty() && !origin.contains("://") {
            return Err(OriginError::NoScheme(without_scheme(origin).map(Into::into)));
        }
        let uri: Uri = origin.parse().map_err(|_| OriginError::Malformed)?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => (Scheme::HTTPS, 443),
            Some("http") => (Scheme::HTTP, 80),
            _ => return Err(OriginError::Scheme),
        };
        let authority = uri.authority().ok_or(OriginError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(OriginError::Query);
        }

        let prefix = uri.path().trim_end_matches('/');
        if !is_one_path(prefix) {
            return Err(OriginError::Prefix);
        }
        if let Some(route) = ROUTES.iter().find(|route| prefix.ends_with(*route)) {
            return Err(OriginError::Endpoint(route));
        }

        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || host.contains('%') {
            return Err(OriginError::Malformed);
        }
        let rest = authority.as_str().get(host.len()..).unwrap_or_default();
        let port = match rest.strip_prefix(':') {
            None => None,
            Some(port) => Some(port.parse::<u16>().map_err(|_| OriginError::Malformed)?),
        };
        let port = port.filter(|port| *port != default_port);
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));

        let name = format!("{scheme}://{host}").into();
        let authority = host.parse().map_err(|_| OriginError::Malformed)?;
        Ok(Self {
            plain_http: PlainHttpTo::needed(Some(&scheme), &authority),
            scheme,
            authority,
            host: HeaderValue::try_from(host).map_err(|_| OriginError::Malformed)?,
            prefix: prefix.into(),
            name,
        })
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// Returns the permission for requests without TLS that the origin was made with.
    pub(super) fn plain_http(&self) -> Option<PlainHttpTo> {
        self.plain_http.clone()
    }

    /// Returns the path of a request as the upstream's routes name it. A version that ends the prefix
    /// is part of the route.
    pub(super) fn route<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match version_of(&self.prefix) {
            Some((_, version)) if !begins_with(path, version) => {
                Cow::Owned(format!("/{version}{path}"))
            }
            _ => Cow::Borrowed(path),
        }
    }

    /// Returns the origin with its prefix.
    #[cfg(feature = "aws")]
    pub(super) fn with_prefix(&self) -> String {
        format!("{}{}", self.name, self.prefix)
    }

    /// Returns `uri` at this origin.
    ///
    /// The path keeps its bytes and the query loses its credentials. `None` when `uri` has no path, as
    /// `*` or an authority alone.
    pub(super) fn redirect(&self, uri: Uri) -> Option<Uri> {
        let mut parts = uri.into_parts();
        let path = parts.path_and_query.take()?;
        if !path.path().starts_with('/') {
            return None;
        }
        let kept = path.query().and_then(without_credentials);
        let path = if self.prefix.is_empty() && kept.is_none() {
            path
        } else {
            let (mark, query) = match (&kept, path.query()) {
                (None, None) => ("", ""),
                (None, Some(query)) => ("?", query),
                (Some(kept), _) if kept.is_empty() => ("", ""),
                (Some(kept), _) => ("?", kept.as_str()),
            };
            let path = path.path();
            let prefix = without_repeated_version(&self.prefix, path);
            PathAndQuery::try_from(format!("{prefix}{path}{mark}{query}")).ok()?
        };
        parts.path_and_query = Some(path);
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        Uri::from_parts(parts).ok()
    }
}

/// Routes that are never part of a base URL.
const ROUTES: [&str; 6] = [
    "/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/models",
    "/v1/responses",
];

/// Returns the prefix without its last segment, if that is a version that `path` begins with.
fn without_repeated_version<'a>(prefix: &'a str, path: &str) -> &'a str {
    match version_of(prefix) {
        Some((before, version)) if begins_with(path, version) => before,
        _ => prefix,
    }
}

/// Splits a prefix before the version at its end.
fn version_of(prefix: &str) -> Option<(&str, &str)> {
    let (before, version) = prefix.rsplit_once('/')?;
    let number = version.strip_prefix('v')?;
    let is_version = number.starts_with(|first: char| first.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_version.then_some((before, version))
}

fn begins_with(path: &str, segment: &str) -> bool {
    path.split('/').nth(1) == Some(segment)
}

/// Returns whether every reader takes a prefix for the same path. An upstream may resolve a dot segment,
/// merge slashes or decode a slash.
fn is_one_path(prefix: &str) -> bool {
    prefix.split('/').skip(1).all(|segment| {
        let decoded = percent_decode_str(segment).collect::<Vec<_>>();
        !decoded.is_empty()
            && !matches!(&*decoded, b"." | b"..")
            && !decoded.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'%'))
    })
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Parses an origin with [`Origin::new`].
    fn from_str(origin: &str) -> Result<Self, OriginError> {
        Self::new(origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An error from parsing an [`Origin`].
#[derive(Clone, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OriginError {
    /// The text is not an absolute URI with a host and a valid port.
    Malformed,
    /// The text has no scheme. The host with its port is given if it is this machine.
    NoScheme(Option<Box<str>>),
    /// The scheme is neither `https` nor `http`.
    Scheme,
    /// The scheme is `http` and the host, which is given with its port, is another machine.
    PlainHttp(Box<str>),
    /// The path ends in this route, which the requests have as their path.
    Endpoint(&'static str),
    /// The path has a dot segment, an empty segment or an encoded slash.
    Prefix,
    /// The origin has a user name or a password.
    UserInfo,
    /// The origin has a query.
    Query,
    /// The origin has a fragment.
    Fragment,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "expected an origin of the form https://host[:port][/prefix]",
            Self::NoScheme(Some(authority)) => {
                return write!(f, "the origin has no scheme: write http://{authority}");
            }
            Self::NoScheme(None) => "the origin has no scheme: write https:// in front of the host",
            Self::Scheme => "the scheme of an origin must be https or http",
            Self::PlainHttp(authority) => {
                return write!(
                    f,
                    "plain http to {authority}: every host on the path could read the token; use \
                     https, or allow it with Origin::dangerous_plain_http"
                );
            }
            Self::Endpoint(route) => {
                return write!(
                    f,
                    "the origin ends in {route}, which is the path of a request: give the base URL \
                     alone"
                );
            }
            Self::Prefix => {
                "the path of an origin must not have `.`, `..`, `//` or an encoded slash: upstreams read \
                 them in different ways"
            }
            Self::UserInfo => {
                "an origin must not have a user name or a password: the token comes from a \
                 TokenSource"
            }
            Self::Query => "an origin must not have a query: requests bring their own",
            Self::Fragment => "an origin must not have a fragment",
        })
    }
}

debug_as_message!(OriginError);

impl Error for OriginError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(origin: &str, uri: &str) -> Option<String> {
        let origin = Origin::new(origin).unwrap();
        origin.redirect(uri.parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn an_origin_is_normalised() {
        for (written, name) in [
            ("https://Router.HuggingFace.co", "https://router.huggingface.co"),
            ("https://router.huggingface.co:443/", "https://router.huggingface.co"),
            ("HTTPS://a.example:8443/v1/", "https://a.example:8443"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(Origin::new(written).unwrap().as_str(), name, "{written}");
        }
    }

    #[test]
    fn other_texts_are_no_origin() {
        for (written, error) in [
            ("https://user@a.example", OriginError::UserInfo),
            ("https://user:word@a.example", OriginError::UserInfo),
            ("https://a.example?x", OriginError::Query),
            ("https://a.example/?", OriginError::Query),
            ("https://a.example/#x", OriginError::Fragment),
            ("https://a.example#", OriginError::Fragment),
            ("ftp://a.example", OriginError::Scheme),
            ("/v1", OriginError::NoScheme(None)),
            ("a.example", OriginError::NoScheme(None)),
            ("a.example:8080/v1", OriginError::NoScheme(None)),
            ("localhost:8000/v1", OriginError::NoScheme(Some("localhost:8000".into()))),
            ("https://a.example/v1/chat/completions", OriginError::Endpoint("/chat/completions")),
            ("https://a.example/openai/v1/models/", OriginError::Endpoint("/v1/models")),
            ("https://a.example/x/../y", OriginError::Prefix),
            ("https://a.example/x/..", OriginError::Prefix),
            ("https://a.example/./x", OriginError::Prefix),
            ("https://a.example/%2e%2E/x", OriginError::Prefix),
            ("https://a.example//x", OriginError::Prefix),
            ("https://a.example/x//y", OriginError::Prefix),
            ("https://a.example/x%2Fy", OriginError::Prefix),
            ("https://a.example/x%5c..", OriginError::Prefix),
            ("https://a.example/%252e%252e/x", OriginError::Prefix),
            ("https://", OriginError::Malformed),
            ("https://a.example:", OriginError::Malformed),
            ("https://a.example:65536", OriginError::Malformed),
            ("https://a.example:http", OriginError::Malformed),
            ("https://a%2eexample", OriginError::Malformed),
            ("https://a b.example", OriginError::Malformed),
            ("", OriginError::Malformed),
        ] {
            assert_eq!(Origin::new(written), Err(error), "{written}");
        }
    }

    #[test]
    fn plain_http_to_another_machine_needs_the_dangerous_constructor() {
        for written in ["http://tgi.internal", "http://127.0.0.1.nip.io", "http://10.0.0.1"] {
            let host = written.strip_prefix("http://").unwrap().into();
            assert_eq!(Origin::new(written), Err(OriginError::PlainHttp(host)), "{written}");
            assert_eq!(Origin::dangerous_plain_http(written).unwrap().as_str(), written);
        }
    }

    #[test]
    fn every_uri_is_sent_to_the_origin() {
        let router = "https://router.huggingface.co";
        for uri in ["/v1/models", "http://evil.example/v1/models", "https://u:p@evil:1/v1/models"] {
            let redirected = redirected(router, uri).unwrap();
            assert_eq!(redirected, "https://router.huggingface.co/v1/models", "{uri}");
        }
        assert_eq!(redirected(router, "*"), None);
        assert_eq!(redirected(router, "evil.example:443"), None);
    }

    #[test]
    fn a_version_is_not_repeated() {
        for (origin, path, sent) in [
            ("https://a.example/v1", "/v1/models", "/v1/models"),
            ("https://a.example/v1/", "/v1/models?x=/v1", "/v1/models?x=/v1"),
            ("https://a.example/v1", "/models", "/v1/models"),
            ("https://a.example/v1", "/v1", "/v1"),
            ("https://a.example/v1", "/v1/v1/models", "/v1/v1/models"),
            ("https://a.example/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"),
            ("https://a.example/v1beta", "/v1beta/models", "/v1beta/models"),
            ("https://a.example/v1", "/v10/models", "/v1/v10/models"),
            ("https://a.example/v1", "//v1/models", "/v1//v1/models"),
            ("https://a.example/v1", "/%761/models", "/v1/%761/models"),
            ("https://a.example/models", "/models/m", "/models/models/m"),
            ("https://a.example/vision", "/vision/m", "/vision/vision/m"),
        ] {
            let expected = format!("https://a.example{sent}");
            assert_eq!(redirected(origin, path).unwrap(), expected, "{origin} {path}");
        }
    }

    #[test]
    fn route_has_the_version_of_the_prefix() {
        for (origin, path, route) in [
            ("https://a.example", "/v1/models", "/v1/models"),
            ("https://a.example", "/models", "/models"),
            ("https://a.example/v1", "/v1/models", "/v1/models"),
            ("https://a.example/v1", "/models", "/v1/models"),
            ("https://a.example/v1", "/generate", "/v1/generate"),
            ("https://a.example/v1", "//v1/models", "/v1//v1/models"),
            ("https://a.example/together/v1", "/chat/completions", "/v1/chat/completions"),
            ("https://a.example/together", "/v1/chat/completions", "/v1/chat/completions"),
        ] {
            assert_eq!(Origin::new(origin).unwrap().route(path), route, "{origin} {path}");
        }
    }

    #[test]
    fn a_query_loses_its_credentials() {
        let redirect = |uri| redirected("https://a.example", uri).unwrap();
        assert_eq!(redirect("/a%2Fb?x=1&access_token=t"), "https://a.example/a%2Fb?x=1");
        assert_eq!(redirect("/a%2Fb?X-Amz-Signature=s"), "https://a.example/a%2Fb");
    }

    #[test]
    fn the_path_keeps_its_bytes() {
        for path in ["/", "/a%2Fb", "//evil.example/x", "/a/../b", "/a//b", "/%e4?x=%2f&&y=", "/?"]
        {
            let expected = format!("https://a.example{path}");
            assert_eq!(redirected("https://a.example", path).unwrap(), expected);
            let expected = format!("https://a.example/v1{path}");
            assert_eq!(redirected("https://a.example/v1/", path).unwrap(), expected);
        }
    }
}
