//! A ready HTTPS client, for upstreams and for fetching keys.
//!
//! Any tower service of HTTP requests will do as the innermost service of a stack; [`HttpsClient`]
//! is the one to take when there is no reason for another: hyper's pooled client over rustls.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_inference::{client::HttpsClient, upstream::UpstreamLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client: HttpsClient<Full<Bytes>> = HttpsClient::builder().build()?;
//! let upstream = ServiceBuilder::new().layer(UpstreamLayer::new()).service(client);
//!
//! // Plain http is for this machine; nothing listens on its port 1.
//! let request = Request::get("http://127.0.0.1:1/").body(Full::default())?;
//! assert_eq!(upstream.clone().oneshot(request).await?.status(), 502);
//! let request = Request::get("http://tgi.internal/").body(Full::default())?;
//! assert_eq!(upstream.oneshot(request).await?.status(), 502);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! HTTP/2 or HTTP/1.1 as the server chooses by ALPN, TLS 1.3 or 1.2 by aws-lc-rs, whatever the
//! process's default provider is. Certificates are checked against Mozilla's roots, or against
//! [your own](Builder::root_certificates_pem). Connections are pooled, 256 idle ones a host at most,
//! for 90 seconds each. It follows no redirect, reads no proxy from the environment, keeps no
//! cookie. A request that found its pooled connection closed, and of which nothing was sent yet, is
//! sent over another one.
//!
//! # Limits
//!
//! It needs tokio with its I/O and timer, and spawns one task for each connection there, which ends
//! with the connection. Each call boxes its future. Beyond connecting it has no deadline:
//! [`UpstreamLayer`](crate::upstream::UpstreamLayer) has them.

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, Version, uri::Scheme};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use pin_project_lite::pin_project;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tower_service::Service;

use crate::loopback::is_loopback;

type BoxError = Box<dyn StdError + Send + Sync>;

/// A pooled client for HTTPS, and for plain HTTP to this machine. Clones share the pool. See the
/// [module](self).
pub struct HttpsClient<B> {
    // A stack is cloned for each request, and hyper's client clones itself once more.
    client: Arc<Client<Connector, B>>,
}

// Of no body in particular, so that `HttpsClient::builder()` needs no annotation.
impl HttpsClient<()> {
    /// Settings to build a client with.
    pub const fn builder() -> Builder {
        Builder {
            roots_pem: None,
            connect_timeout: Duration::from_secs(5),
            prior_knowledge: false,
            plain_http: false,
        }
    }
}

impl<B> Clone for HttpsClient<B> {
    fn clone(&self) -> Self {
        Self { client: Arc::clone(&self.client) }
    }
}

impl<B> fmt::Debug for HttpsClient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClient").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for HttpsClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        (&*self.client).poll_ready(cx).map_err(Error::new)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture {
        // The connection decides: over HTTP/1.1 the pool refuses what says that it is HTTP/2, as
        // every request does that a server took over HTTP/2.
        *request.version_mut() = Version::HTTP_11;
        ResponseFuture { future: self.client.request(request) }
    }
}

/// Settings of an [`HttpsClient`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    roots_pem: Option<Vec<u8>>,
    connect_timeout: Duration,
    prior_knowledge: bool,
    plain_http: bool,
}

impl Builder {
    /// Trusts the certificates in this PEM text *instead of* Mozilla's roots: who runs a private
    /// authority does not want a public one to vouch for the same names.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Self {
        self.roots_pem = Some(pem.to_owned());
        self
    }

    /// How long connecting may take: name, TCP and TLS together. Five seconds by default.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Speaks HTTP/2 and nothing else, also without TLS, where nothing can be negotiated: for gRPC.
    pub const fn http2_prior_knowledge(mut self) -> Self {
        self.prior_knowledge = true;
        self
    }

    /// Allows plain `http` to other machines: whoever is on the way there reads and writes along.
    pub const fn dangerous_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] when the roots cannot be used.
    pub fn build<B>(self) -> Result<HttpsClient<B>, BuildError>
    where
        B: Body + Send,
        B::Data: Send,
    {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| BuildError::Tls)?;
        let tls = match &self.roots_pem {
            None => tls.with_webpki_roots(),
            Some(pem) => tls.with_root_certificates(roots(pem)?),
        };
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth()).https_or_http();

        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = if self.prior_knowledge {
            https.enable_http2().wrap_connector(tcp)
        } else {
            https.enable_all_versions().wrap_connector(tcp)
        };

        let connector = Connector {
            https: Arc::new(https),
            timeout: self.connect_timeout,
            plain_http: self.plain_http,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(256)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_only(self.prior_knowledge)
            .build(connector);
        Ok(HttpsClient { client: Arc::new(client) })
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| BuildError::BadCertificate)?;
        roots.add(certificate).map_err(|_| BuildError::BadCertificate)?;
    }
    if roots.is_empty() { Err(BuildError::NoCertificate) } else { Ok(roots) }
}

/// Why there is no client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// The PEM text has no certificate.
    NoCertificate,
    /// A certificate in the PEM text cannot be read or cannot be a root.
    BadCertificate,
    /// TLS has no cipher suite to offer.
    Tls,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "the roots have no certificate",
            Self::BadCertificate => "a certificate among the roots cannot be used",
            Self::Tls => "tls has no cipher suite to offer",
        })
    }
}

impl StdError for BuildError {}

/// A call that failed. Its causes are hyper's and rustls's; they may name hosts.
#[derive(Debug)]
pub struct Error(legacy::Error);

impl Error {
    const fn new(error: legacy::Error) -> Self {
        Self(error)
    }

    /// Whether no connection came about, so that nothing was sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_connect() {
            "the connection could not be made"
        } else {
            "the request could not be completed"
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

pin_project! {
    /// The future of [`HttpsClient`]. Dropping it resets the request's stream, or closes its
    /// connection.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        future: legacy::ResponseFuture,
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = self.project().future.poll(cx);
        response.map_ok(|response| response.map(|body| ResponseBody { body })).map_err(Error::new)
    }
}

pin_project! {
    /// The body of an answer. Dropping it before its end resets the stream, or closes the
    /// connection.
    #[derive(Debug)]
    pub struct ResponseBody {
        #[pin]
        body: Incoming,
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().body.poll_frame(cx).map_err(BodyError)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that broke off. Its causes are hyper's.
#[derive(Debug)]
pub struct BodyError(hyper::Error);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

// === impl Connector ===

/// Connects within a time limit, and without TLS to this machine only.
#[derive(Clone)]
struct Connector {
    https: Arc<HttpsConnector<HttpConnector>>,
    timeout: Duration,
    plain_http: bool,
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let plain = uri.scheme() != Some(&Scheme::HTTPS);
        if plain && !self.plain_http && !uri.host().is_some_and(is_loopback) {
            let refused = "plain http is allowed to this machine only";
            let refused = io::Error::new(io::ErrorKind::PermissionDenied, refused);
            return Box::pin(async { Err(refused.into()) });
        }
        let (timeout, mut https) = (self.timeout, HttpsConnector::clone(&self.https));
        Box::pin(async move {
            let connecting = async {
                poll_fn(|cx| https.poll_ready(cx)).await?;
                https.call(uri).await
            };
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            tokio::time::timeout(timeout, connecting).await.map_err(late)?
        })
    }
}
