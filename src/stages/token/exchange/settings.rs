use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    fault::{ExchangeFault, TokenExchangeError},
    message,
    subject::SubjectToken,
};
use crate::{
    address_reach::Reach,
    fetch::{
        BoxFuture, ExchangeLimits, FetchFault, Reply, absolute, check_transport, exchange, short,
    },
    stages::token::fetched::FetchedToken,
};

/// The token endpoint of Hugging Face. Its origin is the audience of the subject token.
const ENDPOINT: &str = "https://huggingface.co/oauth/token";
const AUDIENCE: &str = "https://huggingface.co";

/// The source has a shorter one of its own.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Exchanges an OpenID Connect token of the workload for an hourly token of Hugging Face, so that no
/// token is stored anywhere. [`TokenSource::exchange`](crate::hf::TokenSource::exchange) takes it.
///
/// Hugging Face calls this [trusted publishers](https://huggingface.co/docs/hub/trusted-publishers): an
/// account trusts the tokens of an issuer with certain claims. The token of the workload has the audience
/// `https://huggingface.co`.
///
/// ```no_run
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use std::convert::Infallible;
/// # use tower::service_fn;
/// use tower_inference::hf::{SubjectToken, TokenExchange, TokenSource};
///
/// # // `HttpsClient` of feature `client`, or any client of yours.
/// # let client = service_fn(|_: Request<Full<Bytes>>| async {
/// #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
/// # });
/// // A projected service-account token of Kubernetes.
/// let subject = SubjectToken::file("/var/run/secrets/huggingface/token")?;
/// let source = TokenSource::exchange(TokenExchange::new(client, subject, "your-user-name"));
/// # let _ = source;
/// # Ok::<(), tower_inference::hf::TokenError>(())
/// ```
///
/// # Caveats
///
/// This was built from the documentation of Hugging Face and from RFC 8693. It was tested against an
/// endpoint built from them and not against the real service.
#[derive(Clone)]
pub struct TokenExchange {
    post: Arc<HttpPost>,
    subject: SubjectToken,
    resource: Box<str>,
    endpoint: Uri,
}

/// Sends a request through the user's client.
type HttpPost =
    dyn Fn(Request<Bytes>, ExchangeLimits) -> BoxFuture<Result<Reply, FetchFault>> + Send + Sync;

impl TokenExchange {
    /// Creates an exchange at `https://huggingface.co/oauth/token`.
    ///
    /// `resource` is the user name of the account with the trusted publisher, or the `namespace/name` of
    /// a repository. `client` is any HTTP client whose request body is made from bytes. Redirects that
    /// it does not follow are errors. A response may have 64 KiB.
    pub fn new<C, Q, B>(client: C, subject: SubjectToken, resource: impl Into<Box<str>>) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: From<Bytes> + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        let post = move |request: Request<Bytes>, limits| {
            let client = client.clone();
            // The async block hides `B`, which need not be `'static`.
            Box::pin(async move { exchange(client, request.map(Q::from), limits).await })
                as BoxFuture<_>
        };
        let endpoint = Uri::from_static(ENDPOINT);
        Self { post: Arc::new(post), subject, resource: resource.into(), endpoint }
    }

    /// Sets the token endpoint, for a test. Defaults to `https://huggingface.co/oauth/token`.
    ///
    /// # Errors
    ///
    /// Returns an error for a URL that is not absolute, for plain `http` that leaves this machine and for
    /// a link-local address.
    pub fn endpoint(mut self, url: &str) -> Result<Self, TokenExchangeError> {
        let endpoint = absolute(url)?;
        check_transport(&endpoint, false)?;
        self.endpoint = endpoint;
        Ok(self)
    }

    /// Exchanges the present subject token.
    pub(in crate::stages::token) async fn fetch(&self) -> Result<FetchedToken, ExchangeFault> {
        let subject = self.subject.read().await?;
        let request = message::request(self.endpoint.clone(), &subject, &self.resource);
        let limits = ExchangeLimits {
            max_bytes: MAX_RESPONSE_BYTES,
            timeout: TIMEOUT,
            plain_http: false,
            reach: Reach::NotLinkLocal,
            read_bad_request: true,
        };
        let reply = (self.post)(request, limits).await?;
        message::token(reply, AUDIENCE, &short(&self.resource))
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("endpoint", &self.endpoint.host())
            .field("resource", &self.resource)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
