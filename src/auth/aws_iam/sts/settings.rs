use std::{collections::BTreeSet, error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    error::StsError,
    host::Partition,
    response::{MAX_RESPONSE, is_account},
};
use crate::{
    address_reach::Reach,
    auth::lookup::LookupBounds,
    clock::SharedClock,
    fetch::{BoxFuture, ExchangeLimits, FetchFault, Reply, absolute, exchange},
    loopback::is_loopback,
    peer::PeerAddress,
};

/// Sends a request without a body through the user's client.
pub(super) type HttpGet =
    Arc<dyn Fn(Request<()>, ExchangeLimits) -> BoxFuture<Result<Reply, FetchFault>> + Send + Sync>;

/// The longest time that AWS accepts a presigned request of STS.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// Accepts callers that prove their AWS identity by a presigned `GetCallerIdentity` of STS.
///
/// See the [module docs](super::super#aws-identities) for the token and an example.
#[derive(Clone)]
pub struct StsIdentity {
    pub(super) get: HttpGet,
    pub(super) server_id: HeaderValue,
    pub(super) header: HeaderName,
    pub(super) accounts: BTreeSet<(Partition, Box<str>)>,
    pub(super) regions: Option<BTreeSet<Box<str>>>,
    pub(super) scopes: Vec<Box<str>>,
    pub(super) max_age: Duration,
    pub(super) max_calls: u32,
    pub(super) max_token_bytes: usize,
    pub(super) peer: PeerAddress,
    /// The address that takes the place of AWS in tests.
    pub(super) endpoint: Option<Uri>,
    pub(super) limits: ExchangeLimits,
    pub(super) bounds: LookupBounds,
    pub(super) clock: SharedClock,
}

impl StsIdentity {
    /// Accepts callers of `accounts`.
    ///
    /// `server_id` names this gateway and no other, such as its host. A client signs it, so that a token
    /// for another service is refused here. An account is twelve digits. Accounts of other partitions
    /// have its name in front: `aws-cn:123456789012`, `aws-us-gov:123456789012`.
    ///
    /// `client` is any HTTP client whose request body is empty by `Default`. It must not follow
    /// redirects and must verify TLS certificates, as `HttpsClient` does.
    ///
    /// # Errors
    ///
    /// Returned when the server id or an account is not valid and when there is no account.
    pub fn new<C, Q, B, A>(
        server_id: &str,
        accounts: impl IntoIterator<Item = A>,
        client: C,
    ) -> Result<Self, StsError>
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: Default + Send + 'static,
        B: Body + Send,
        B::Data: Send,
        A: AsRef<str>,
    {
        let is_id = (1..=255).contains(&server_id.len())
            && server_id.bytes().all(|byte| byte.is_ascii_graphic());
        let server_id = HeaderValue::from_str(server_id).ok().filter(|_| is_id);
        let accounts = accounts.into_iter().map(|text| account(text.as_ref()));
        let accounts = accounts.collect::<Result<BTreeSet<_>, _>>()?;
        if accounts.is_empty() {
            return Err(StsError::NoAccounts);
        }
        let get = move |request: Request<()>, limits| {
            let client = client.clone();
            // The async block hides `B`, which need not be `'static`.
            let send =
                async move { exchange(client, request.map(|()| Q::default()), limits).await };
            Box::pin(send) as BoxFuture<_>
        };
        Ok(Self {
            get: Arc::new(get),
            server_id: server_id.ok_or(StsError::InvalidServerId)?,
            header: HeaderName::from_static("x-inference-server-id"),
            accounts,
            regions: None,
            scopes: Vec::new(),
            max_age: MAX_AGE,
            max_calls: 30,
            max_token_bytes: 8 << 10,
            peer: PeerAddress::connection(),
            endpoint: None,
            limits: ExchangeLimits {
                max_bytes: MAX_RESPONSE,
                timeout: Duration::from_secs(5),
                plain_http: false,
                reach: Reach::NotLinkLocal,
                read_bad_request: false,
            },
            bounds: LookupBounds {
                max_cache_bytes: 8 << 20,
                max_waiting: 256,
                setter: "StsIdentity::max_waiting",
            },
            clock: SharedClock::default(),
        })
    }

    /// Sets the header that holds the server id. Defaults to `x-inference-server-id`.
    ///
    /// The client signs it and need not send it to the gateway.
    ///
    /// # Errors
    ///
    /// Returned when the name does not start with `x-` and when it starts with `x-amz-`.
    pub fn server_id_header(mut self, name: HeaderName) -> Result<Self, StsError> {
        if !name.as_str().starts_with("x-") || name.as_str().starts_with("x-amz-") {
            return Err(StsError::InvalidHeader);
        }
        self.header = name;
        Ok(self)
    }

    /// Sets the regions in which STS is called. Defaults to those that AWS had in November 2026, in the
    /// partitions of the accounts.
    ///
    /// A token for another region is rejected without a call, so a client cannot cause look-ups of names
    /// of its choice. Name a region here that AWS has opened since.
    ///
    /// # Errors
    ///
    /// Returned when a text has another form than `us-east-1`.
    pub fn regions<R: AsRef<str>>(
        mut self,
        regions: impl IntoIterator<Item = R>,
    ) -> Result<Self, StsError> {
        let region = |text: R| {
            let text: Box<str> = text.as_ref().into();
            match Partition::of_region(&text) {
                Some(_) => Ok(text),
                None => Err(StsError::InvalidRegion(text)),
            }
        };
        self.regions = Some(regions.into_iter().map(region).collect::<Result<_, _>>()?);
        Ok(self)
    }

    /// Grants scopes to every accepted caller. Defaults to none.
    #[must_use]
    pub fn scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the maximum age of a token since its `X-Amz-Date`. Defaults to 15 minutes, which is the
    /// longest time. `X-Amz-Expires` may shorten it.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.min(MAX_AGE);
        self
    }

    /// Sets the maximum number of calls to STS that one address may cause in a minute. Defaults to 30.
    /// Further requests with new tokens are rejected with `throttled`.
    #[must_use]
    pub const fn max_calls_per_address(mut self, calls: u32) -> Self {
        self.max_calls = calls;
        self
    }

    /// Sets how the address of a client is found. Defaults to [`PeerAddress::connection`]. Requests
    /// without an address share one count.
    #[must_use]
    pub fn peer_address(mut self, peer: PeerAddress) -> Self {
        self.peer = peer;
        self
    }

    /// Sets the maximum length of a token in bytes. Defaults to 8 KiB. Longer tokens are rejected before
    /// they are decoded.
    #[must_use]
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Sets the maximum time of a call to STS. Defaults to 5 seconds.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// Sets the maximum memory for results in bytes. Defaults to 8 MiB.
    #[must_use]
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait for STS at the same time. Defaults to 256. Further
    /// requests are rejected with `identity-provider-unavailable`.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Sends all calls to an address of this machine, such as `http://127.0.0.1:5000`. For tests. The
    /// header `host` stays the one of AWS.
    ///
    /// # Errors
    ///
    /// Returned when the address is not one of this machine and when it has a path or a query.
    pub fn sts_endpoint(mut self, url: &str) -> Result<Self, StsError> {
        let uri = absolute(url).map_err(|_| StsError::InvalidEndpoint)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_bare || !is_loopback(uri.host().unwrap_or_default()) {
            return Err(StsError::InvalidEndpoint);
        }
        self.endpoint = Some(uri);
        Ok(self)
    }

    /// Sets the clock. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

/// Parses an account with or without its partition.
fn account(text: &str) -> Result<(Partition, Box<str>), StsError> {
    let invalid = || StsError::InvalidAccount(text.into());
    let (partition, account) = match text.split_once(':') {
        None => (Partition::Aws, text),
        Some((name, account)) => (Partition::from_name(name).ok_or_else(invalid)?, account),
    };
    if is_account(account) { Ok((partition, account.into())) } else { Err(invalid()) }
}

impl fmt::Debug for StsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StsIdentity")
            .field("server_id", &self.server_id)
            .field("accounts", &self.accounts)
            .field("regions", &self.regions)
            .field("scopes", &self.scopes)
            .field("max_age", &self.max_age)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
