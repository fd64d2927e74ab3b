use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, Uri, header::IF_NONE_MATCH};
use http_body::Body;
use tower_service::Service;

use super::{
    error::{KeysError, KeysFault},
    fetch::{FetchBounds, HttpGet, KeyFetcher, KeyRequest, well_known},
    key_set::MAX_SET_BYTES,
    source::KeySource,
};
use crate::{
    address_reach::Reach,
    fetch::{BoxFuture, ExchangeLimits, Transport, absolute, check_transport, exchange, transport},
};

/// Builds a [`KeySource`] that fetches keys from a server.
///
/// ```
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::{Empty, Full};
/// # use std::{convert::Infallible, time::Duration};
/// # use tower::service_fn;
/// # use tower_inference::auth::{KeysError, KeysFault, RemoteKeys};
/// # let client = service_fn(|_: Request<Empty<Bytes>>| async {
/// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
/// # });
/// let keys = RemoteKeys::discovery("https://issuer.example", client.clone())
///     .max_age(Duration::from_secs(10 * 60))
///     .fetch_timeout(Duration::from_secs(3))
///     .build()?;
/// assert!(!keys.is_ready()); // until the first fetch
///
/// let plain = RemoteKeys::jwks("http://keys.example/jwks.json", client).build();
/// assert!(matches!(plain.unwrap_err().fault, KeysFault::InsecureUrl(_)));
/// # Ok::<(), KeysError>(())
/// ```
///
/// # Fetching
///
/// A request that needs keys fetches them. Other requests wait for the same fetch:
///
/// - *No keys yet.* Requests wait for the first fetch. If it fails they are rejected with
///   `identity-provider-unavailable`. The next fetch starts after 1 second. Each further failure
///   doubles the delay up to 30 seconds.
/// - *No key verifies the token.* Its `kid` is unknown or its signature is invalid. An issuer may
///   have replaced the key under the same `kid` or without one. The request waits for a fetch and
///   is then verified with the current keys. All these requests together cause one fetch in a
///   [cool-down](Self::cool_down). Requests with a known key do not wait.
/// - *The keys have aged.* The next request starts a fetch and does not wait for it. It uses the
///   present keys, and so do all requests until the new set has arrived. A withdrawn key verifies
///   nothing from then on. If the fetch fails the keys stay in use up to
///   [`max_stale_age`](Self::max_stale_age). Beyond that age requests wait as without keys.
///
/// A task polls the fetch for aged keys. The source owns it and drops it with the last clone.
/// [`KeySource::keep_fresh`] fetches the keys before they age.
///
/// A response that cannot be used never replaces usable keys. Examples are a status other than 200
/// and a set without a usable key. Redirects are not followed. The operator's log names their status.
/// The content type of a response is ignored.
///
/// # Age
///
/// Keys age after [`max_age`](Self::max_age). `cache-control` of the set's response can shorten this
/// to the minimum of 1 minute: `max-age` (less the header `age`), `no-store` and `no-cache` do. An
/// `etag` is sent back as `if-none-match`. The response 304 renews the keys.
///
/// Each fetch reads the discovery document again, so that it follows an issuer that moves its keys.
///
/// # Addresses
///
/// Addresses are `https`. Plain `http` is for this machine or needs
/// [`dangerous_plain_http`](Self::dangerous_plain_http). An address that you configure may be private,
/// as that of a provider in the same cluster is. A `jwks_uri` on another host than the issuer's must
/// be public. Kubernetes is such an issuer: its document names an address of its API server. Give that
/// to [`jwks`](Self::jwks). Link-local addresses are always refused, because clouds serve the
/// credentials of the machine there.
///
/// Literal addresses are checked with every client. The addresses that a *name* resolves to are
/// checked only by [`HttpsClient`](crate::client::HttpsClient). Another client must check them itself
/// or run where such addresses cannot be reached.
#[derive(Clone)]
pub struct RemoteKeys {
    get: HttpGet,
    location: KeyLocation,
    max_age: Duration,
    bounds: FetchBounds,
    limits: ExchangeLimits,
}

#[derive(Clone)]
enum KeyLocation {
    Discovery { issuer: String },
    Jwks { url: String },
}

impl RemoteKeys {
    /// Finds the keys of `issuer` by OpenID Connect Discovery.
    ///
    /// The discovery document is at `{issuer}/.well-known/openid-configuration`. It must name
    /// `issuer` exactly (OpenID Connect Discovery 1.0 section 4.3), byte for byte. Each fetch reads the
    /// document and the keys.
    ///
    /// `client` is any HTTP client whose request body is empty by `Default`. A client that also
    /// serves the upstream takes a [`Payload`](crate::payload::Payload).
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

    /// Reads the keys from `url` without discovery. See [`discovery`](Self::discovery) for the
    /// client.
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

    fn new<C, Q, B>(location: KeyLocation, client: C) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: Default + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        let get = move |uri, known: Option<HeaderValue>, limits| {
            let client = client.clone();
            let mut request = Request::new(Q::default());
            *request.uri_mut() = uri;
            request.headers_mut().extend(known.map(|known| (IF_NONE_MATCH, known)));
            // The async block hides `B`, which need not be `'static`.
            Box::pin(async move { exchange(client, request, limits).await }) as BoxFuture<_>
        };
        Self {
            get: Arc::new(get),
            location,
            max_age: Duration::from_secs(10 * 60),
            bounds: FetchBounds {
                max_stale_age: Duration::from_secs(24 * 60 * 60),
                cool_down: Duration::from_secs(30),
                max_waiting: 1_024,
                abandon_after: Duration::ZERO,
            },
            limits: ExchangeLimits {
                max_bytes: MAX_SET_BYTES,
                timeout: Duration::from_millis(1_500),
                plain_http: false,
                reach: Reach::NotLinkLocal,
                read_bad_request: false,
            },
        }
    }

    /// Sets the maximum age of the keys. The next request then starts a fetch. Defaults to 10 minutes.
    ///
    /// A response can ask for a shorter age by [`cache-control`](Self#age). The minimum is 1 second.
    /// The maximum is half of [`max_stale_age`](Self::max_stale_age).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.max(Duration::from_secs(1));
        self
    }

    /// Sets the age beyond which the keys verify nothing. Defaults to 24 hours.
    ///
    /// The keys become this old only while every fetch fails or no request comes. The minimum is 1
    /// second.
    #[must_use]
    pub fn max_stale_age(mut self, age: Duration) -> Self {
        self.bounds.max_stale_age = age.max(Duration::from_secs(1));
        self
    }

    /// Sets the minimum time between two fetches for tokens that no key verifies. Defaults to 30
    /// seconds.
    ///
    /// The minimum is 1 second and the maximum is 1 hour. Any client can send such a token, so the
    /// cool-down bounds the load that clients can put on the server.
    ///
    /// A fetch that loses all its waiters does not count. The next request that needs keys
    /// continues it. A new fetch replaces it after two [fetch timeouts](Self::fetch_timeout).
    /// Clients that disconnect can therefore cause one fetch in that time. They cannot keep other
    /// clients from the keys.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.bounds.cool_down = time.clamp(Duration::from_secs(1), Duration::from_secs(60 * 60));
        self
    }

    /// Sets the time for one response from the connection to the last byte. Defaults to 1.5
    /// seconds.
    ///
    /// The maximum is 30 seconds. Discovery needs two responses.
    #[must_use]
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout.min(Duration::from_secs(30));
        self
    }

    /// Sets the maximum size of one response body in bytes. Defaults to 512 KiB.
    ///
    /// The bytes are counted as they come.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait for a fetch at the same time. Defaults to
    /// 1,024.
    ///
    /// Further requests that need the fetch are rejected with `identity-provider-unavailable`.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Allows addresses with plain `http`.
    ///
    /// Any host between the gateway and the server can then replace the keys and sign tokens.
    /// [`HttpsClient`](crate::client::HttpsClient) needs no switch of its own for these addresses.
    #[must_use]
    pub const fn dangerous_plain_http(mut self) -> Self {
        self.limits.plain_http = true;
        self
    }

    /// Builds the source. It fetches nothing yet.
    ///
    /// # Errors
    ///
    /// Returns [`KeysFault::InvalidUrl`] if the address is not an absolute URL without user
    /// information. Returns [`KeysFault::InsecureUrl`] if it uses plain `http` and is neither a
    /// loopback address nor allowed by [`dangerous_plain_http`](Self::dangerous_plain_http). Returns
    /// [`KeysFault::LinkLocalAddress`] if its host is a link-local address.
    pub fn build(self) -> Result<KeySource, KeysError> {
        let Self { get, location, max_age, mut bounds, limits } = self;
        // The next fetch must come before the keys become unusable.
        let max_age = max_age.min(bounds.max_stale_age / 2);
        // Discovery has two responses.
        bounds.abandon_after = limits.timeout * 2;
        let (address, issuer) = match location {
            KeyLocation::Discovery { issuer } => {
                (well_known(&issuer).map_err(KeysFault::from)?, Some(Arc::<str>::from(issuer)))
            }
            KeyLocation::Jwks { url } => (absolute(&url).map_err(KeysFault::from)?, None),
        };
        // A discovery document must not lead to a less secure transport than its own.
        let allowed = limits.plain_http;
        let weakest = if allowed { Transport::PlainHttp } else { transport(&address) };
        check_transport(&address, allowed)
            .map_err(|fault| KeysFault::from(fault).at_address(&address))?;
        let host = address.host().unwrap_or_default().to_owned();
        let request = KeyRequest { get, address, issuer, weakest, limits, max_age };
        let fetch = move |known| Box::pin(request.clone().send(known)) as BoxFuture<_>;
        Ok(KeySource::server(KeyFetcher::new(fetch, bounds, &host)))
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (KeyLocation::Discovery { issuer: address } | KeyLocation::Jwks { url: address }) =
            &self.location;
        // Only the host. A query or user information may hold a secret.
        let address = absolute(address).ok();
        f.debug_struct("RemoteKeys")
            .field("host", &address.as_ref().and_then(Uri::host))
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
