use std::{error::Error, fmt, future::poll_fn, pin::pin, sync::Arc, time::Duration};

use bytes::Buf;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT, uri::Scheme};
use http_body::Body;
use serde_core::de::MapAccess;
use tower_service::Service;

use super::{
    MAX_BYTES,
    error::KeysError,
    shared_future::BoxFuture,
    json::{self, ReadMembers, IgnoredValue, JsonStr},
    key_set::Keys,
    fetcher::{FetchBounds, KeyFetcher},
    source::{KeySource, SourceKind},
};

/// Keys that are fetched from a server, through the user's own client.
///
/// Nothing runs in the background. A fetch is part of the request that needs it, and whoever else
/// needs it meanwhile waits for the same one:
///
/// - *No keys yet*: requests wait for the first fetch. When it fails, they are refused with
///   `identity-provider-unavailable`, and the server is asked again after 1 s, then 2 s, up to 30 s.
/// - *No key verifies a token*: its `kid` is not there, or its signature fails because the key was
///   renewed under the same `kid` or without one. This request waits for a fetch, at most one each
///   [cool-down](Self::cool_down), and is then judged by the keys there are. Requests whose key is
///   there do not wait.
/// - *The keys are older than [`max_age`](Self::max_age)*: one request waits for the fetch, for at
///   most the two [timeouts](Self::timeout); all others go on with the keys there are. They serve
///   while the fetch fails, up to the [stale limit](Self::stale_limit).
///
/// What cannot be used (another status than 200, too much, not JSON, another issuer's, no usable key)
/// never replaces keys that can.
#[derive(Clone)]
pub struct RemoteKeys {
    get: HttpGet,
    target: KeyLocation,
    bounds: FetchBounds,
    timeout: Duration,
    max_bytes: usize,
    plain: bool,
}

#[derive(Clone)]
enum KeyLocation {
    Discovery { issuer: String },
    Jwks { url: String },
}

/// One GET through the user's client: the address, and how much and how long to read.
type HttpGet = Arc<dyn Fn(Uri, ReadLimits) -> BoxFuture<Result<Vec<u8>, KeysError>> + Send + Sync>;

#[derive(Clone, Copy)]
struct ReadLimits {
    bytes: usize,
    time: Duration,
}

impl RemoteKeys {
    /// The keys of `issuer`, whose discovery document says where they are: it is asked for at
    /// `{issuer}/.well-known/openid-configuration`, and must name `issuer` to the letter (OpenID
    /// Connect Discovery section 4.3). Both are fetched each time.
    ///
    /// `client` is any client whose request body, by its `Default`, is empty; one that serves the
    /// upstream as well takes a [`Payload`](crate::payload::Payload).
    pub fn discovery<C, Q, B>(issuer: impl Into<String>, client: C) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: Default + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        Self::new(KeyLocation::Discovery { issuer: issuer.into() }, client)
    }

    /// The keys at `url`, without discovery. For the client see [`discovery`](Self::discovery).
    pub fn jwks<C, Q, B>(url: impl Into<String>, client: C) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: Default + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        Self::new(KeyLocation::Jwks { url: url.into() }, client)
    }

    fn new<C, Q, B>(target: KeyLocation, client: C) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        Q: Default + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        let get = move |uri, limits: ReadLimits| {
            let client = client.clone();
            let got = async move {
                let got = get(client, uri, limits.bytes);
                tokio::time::timeout(limits.time, got).await.unwrap_or(Err(KeysError::Timeout))
            };
            Box::pin(got) as BoxFuture<_>
        };
        Self {
            get: Arc::new(get),
            target,
            bounds: FetchBounds {
                max_age: Duration::from_secs(60 * 60),
                max_stale_age: Duration::from_secs(24 * 60 * 60),
                cool_down: Duration::from_secs(30),
                max_waiting: 1_024,
                abandon_after: Duration::ZERO,
            },
            timeout: Duration::from_millis(1_500),
            max_bytes: MAX_BYTES,
            plain: false,
        }
    }

    /// From what age the keys are fetched again. Default one hour, at least one second, at most half
    /// of the [stale limit](Self::stale_limit).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.bounds.max_age = age.max(Duration::from_secs(1));
        self
    }

    /// Up to what age the keys are used while no new ones can be had. Default 24 hours, at least one
    /// second.
    #[must_use]
    pub fn stale_limit(mut self, age: Duration) -> Self {
        self.bounds.max_stale_age = age.max(Duration::from_secs(1));
        self
    }

    /// The least time between two fetches for tokens that no key verifies. Default 30 s, from 1 s to
    /// one hour. Anybody can send such a token, so this bounds what strangers can make the server do.
    ///
    /// A fetch that all have left who waited for it does not count: it is gone on with by the next
    /// who needs it, and given up for a new one when it is older than two [timeouts](Self::timeout).
    /// Strangers who hang up can so cause one fetch in that time, and keep nobody from keys.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.bounds.cool_down = time.clamp(Duration::from_secs(1), Duration::from_secs(60 * 60));
        self
    }

    /// How long one answer may take, from the connection to the last byte. Default 1.5 s, at most
    /// 30 s.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time.min(Duration::from_secs(30));
        self
    }

    /// How many bytes of one answer are read. Default 150,000.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many requests may wait for a fetch at a time; one more is refused with
    /// `identity-provider-unavailable`. Default 1,024.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Takes addresses with plain `http`. Whoever is between here and the server can then sign tokens.
    #[must_use]
    pub const fn dangerous_plain_http(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The source. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// [`KeysError::InvalidUrl`] and [`KeysError::InsecureUrl`].
    pub fn build(self) -> Result<KeySource, KeysError> {
        let Self { get, target, mut bounds, timeout, max_bytes, plain } = self;
        // Keys that may no longer be used have to be asked for by then.
        bounds.max_age = bounds.max_age.min(bounds.max_stale_age / 2);
        // One answer, or two with discovery.
        bounds.abandon_after = timeout * 2;
        let limits = ReadLimits { bytes: max_bytes, time: timeout };
        let (address, issuer) = match target {
            KeyLocation::Discovery { issuer } => (well_known(&issuer)?, Some(Arc::from(issuer))),
            KeyLocation::Jwks { url } => (absolute(&url)?, None),
        };
        // A discovery document may not lead to a worse channel than it came by.
        let weakest = if plain { Transport::Plain } else { transport(&address) };
        if weakest == Transport::Plain && !plain {
            return Err(KeysError::InsecureUrl);
        }
        let host = address.host().unwrap_or_default().into();
        let fetch = Box::new(move || {
            let (get, address, issuer) = (Arc::clone(&get), address.clone(), issuer.clone());
            Box::pin(async move {
                let jwks = match issuer {
                    Some(issuer) => jwks_uri(&get(address, limits).await?, &issuer, weakest)?,
                    None => address,
                };
                Keys::read(&get(jwks, limits).await?)
            }) as BoxFuture<_>
        });
        Ok(KeySource::new(SourceKind::Remote(KeyFetcher::new(fetch, bounds, host))))
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (KeyLocation::Discovery { issuer: address } | KeyLocation::Jwks { url: address }) = &self.target;
        // Not the whole address: people put keys into queries, and users before hosts.
        let address = absolute(address).ok();
        f.debug_struct("RemoteKeys")
            .field("host", &address.as_ref().and_then(Uri::host))
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

async fn get<C, Q, B>(mut client: C, uri: Uri, max_bytes: usize) -> Result<Vec<u8>, KeysError>
where
    C: Service<Request<Q>, Response = Response<B>>,
    Q: Default,
    B: Body,
{
    let mut request = Request::new(Q::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(|_| KeysError::Unreachable)?;
    let response = client.call(request).await.map_err(|_| KeysError::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(KeysError::Status(response.status().as_u16()));
    }

    let mut body = pin!(response.into_body());
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(KeysError::TooLarge);
    }
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| KeysError::Unreachable)?;
        let Ok(mut data) = frame.into_data() else { continue };
        if data.remaining() > max_bytes - read.len() {
            return Err(KeysError::TooLarge);
        }
        while data.has_remaining() {
            let piece = data.chunk();
            let length = piece.len();
            read.extend_from_slice(piece);
            data.advance(length);
        }
    }
    Ok(read)
}

// === Addresses ===

/// An absolute address without a user: a password does not belong into a log.
fn absolute(address: &str) -> Result<Uri, KeysError> {
    let uri: Uri = address.parse().map_err(|_| KeysError::InvalidUrl)?;
    let authority = uri.authority().ok_or(KeysError::InvalidUrl)?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !http || authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(KeysError::InvalidUrl);
    }
    Ok(uri)
}

/// Where the discovery document of `issuer` is (OpenID Connect Discovery sections 3 and 4.1).
fn well_known(issuer: &str) -> Result<Uri, KeysError> {
    if issuer.contains(['?', '#']) {
        return Err(KeysError::InvalidUrl);
    }
    absolute(issuer)?;
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    absolute(&format!("{base}/.well-known/openid-configuration"))
}

/// How an address is reached, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Transport {
    Https,
    /// By plain `http`, without leaving the machine.
    Loopback,
    Plain,
}

fn transport(uri: &Uri) -> Transport {
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Transport::Https;
    }
    let host = uri.host().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let loopback = address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if loopback || host.eq_ignore_ascii_case("localhost") {
        Transport::Loopback
    } else {
        Transport::Plain
    }
}

/// The address of the keys, out of the discovery document of `issuer`.
fn jwks_uri(document: &[u8], issuer: &str, weakest: Transport) -> Result<Uri, KeysError> {
    let document = json::object(json::without_mark(document), DiscoveryDocument::default());
    let document = document.ok_or(KeysError::Malformed)?;
    if document.issuer.ok_or(KeysError::Malformed)? != issuer {
        return Err(KeysError::IssuerMismatch);
    }
    let uri = absolute(&document.jwks_uri.ok_or(KeysError::Malformed)?)?;
    if transport(&uri) <= weakest { Ok(uri) } else { Err(KeysError::InsecureUrl) }
}

#[derive(Default)]
struct DiscoveryDocument {
    issuer: Option<String>,
    jwks_uri: Option<String>,
}

impl<'de> ReadMembers<'de> for DiscoveryDocument {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "issuer" => self.issuer = Some(map.next_value::<JsonStr<'_>>()?.0.into_owned()),
            "jwks_uri" => self.jwks_uri = Some(map.next_value::<JsonStr<'_>>()?.0.into_owned()),
            _ => {
                map.next_value::<IgnoredValue>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_an_issuer_is_below_its_path() {
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
    fn loopback_is_an_address_not_a_likeness_of_one() {
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
            assert_eq!(of(address), Transport::Plain, "{address}");
        }
    }

    #[test]
    fn a_document_names_its_issuer_to_the_letter_and_leads_to_no_worse_channel() {
        let uri = |issuer: &str, keys: &str, weakest| {
            let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","more":[]}}"#);
            jwks_uri(document.as_bytes(), "https://a.example", weakest).map(|uri| uri.to_string())
        };
        let (https, plain, loopback) =
            ("https://k.example/k", "http://k.example/k", "http://[::1]/k");
        assert_eq!(uri("https://a.example", https, Transport::Https).unwrap(), https);
        assert_eq!(uri("https://a.example", loopback, Transport::Https), Err(KeysError::InsecureUrl));
        assert_eq!(uri("https://a.example", loopback, Transport::Loopback).unwrap(), loopback);
        assert_eq!(uri("https://a.example", plain, Transport::Loopback), Err(KeysError::InsecureUrl));
        assert_eq!(uri("https://a.example", plain, Transport::Plain).unwrap(), plain);
        assert_eq!(uri("https://a.example", "/k", Transport::Plain), Err(KeysError::InvalidUrl));
        for issuer in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert_eq!(
                uri(issuer, https, Transport::Plain),
                Err(KeysError::IssuerMismatch),
                "{issuer}"
            );
        }
        for document in ["", "[]", "{}", r#"{"issuer":"https://a.example"}"#] {
            let refused = jwks_uri(document.as_bytes(), "https://a.example", Transport::Https);
            assert_eq!(refused, Err(KeysError::Malformed), "{document}");
        }
    }
}
