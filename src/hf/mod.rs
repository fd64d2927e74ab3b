//! The token of the upstream, and the one origin that it may reach.
//!
//! [`HfTokenLayer`] owns both. A request that passes it goes to its origin, wherever it pointed
//! before, and carries its token, whatever it carried before; without the origin there is no way to
//! ask for the token. Made for Hugging Face, it serves any upstream that takes a bearer token.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     hf::{HfTokenLayer, Origin, TokenSource},
//!     secret::Secret,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = service_fn(|request: Request<Full<Bytes>>| async move {
//!     assert_eq!(request.uri(), "https://router.huggingface.co/v1/models");
//!     assert_eq!(request.headers()["host"], "router.huggingface.co");
//!     assert_eq!(request.headers()["authorization"], "Bearer hf_example");
//!     assert!(!request.headers().contains_key("cookie"));
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! });
//! let origin: Origin = "https://router.huggingface.co".parse()?;
//! let token = TokenSource::value(Secret::new("hf_example"))?;
//! let client = HfTokenLayer::new(origin, token).layer(client);
//!
//! let request = Request::get("http://evil.example/v1/models")
//!     .header("authorization", "Bearer the-callers-own")
//!     .header("cookie", "session=1")
//!     .body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # On the way out
//!
//! Scheme, authority and `host` become the origin's, `authorization` becomes the token's, marked
//! sensitive. The path stays as it is, byte for byte. `host` is set for HTTP/2 too, where it equals
//! `:authority`. The version becomes HTTP/1.1, which clients take as "whatever the connection
//! speaks": a client over HTTP/1.1 refuses a request that says it is HTTP/2. Removed are:
//!
//! - fields of one connection: `connection` and what it names, `keep-alive`, `transfer-encoding`,
//!   `upgrade`, `http2-settings`, `proxy-*`, `te` unless it is `trailers` alone (gRPC needs that);
//!   `trailer`; `expect`, which was between the caller and our server;
//! - the caller's credentials: `cookie`, `x-amz-*`, and whatever ends in `access-key`, `api-key`,
//!   `apikey`, `assertion`, `authorization`, `cookie`, `credential`, `credentials`, `jwt`,
//!   `password`, `secret`, `subscription-key` or `token`, because a list of names always misses one;
//!   in the query `X-Amz-*`, `access_token`, `id_token`, `auth_token`, `token`, `authorization`,
//!   `api_key`, `apikey`, `x-api-key`, `access-key`, `subscription-key`, `key`, `client_secret`,
//!   `secret`, `password` and `jwt`, with a dash or an underscore, `[…]` behind them or not;
//! - who the caller is, as proxies tell their backends and as callers forge it: `forwarded`,
//!   `x-forwarded-*`, `x-original-*`, `x-real-ip`, `x-client-ip`, `true-client-ip`,
//!   `cf-connecting-ip`, `x-auth-*`, `x-authent*`, `x-remote-*`, `remote-*`,
//!   `x-amzn-oidc-*`, `x-amzn-mtls-*`, `x-ms-client-principal*`, `x-ms-token-*`, `x-goog-iap-*`,
//!   `x-goog-authenticated-user-*`, `cf-access-*`, `x-pomerium-*`, `x-vouch-*`, `x-webauth-*`,
//!   `tailscale-user-*`, `client-cert*`, `x-client-cert*`, `ssl-client-*`, `x-ssl-client-*`,
//!   `x-arr-clientcert`, `x-consumer-*`. Some
//!   upstreams also route by them, as by `x-host` and `x-rewrite-url`, and none needs an address of
//!   a caller;
//! - what spends an organisation's money: `x-hf-bill-to`, which [`HfTokenLayer::bill_to`] sets,
//!   `openai-organization`, `openai-project`;
//! - every name with an underscore, because CGI and WSGI servers take it for a dash.
//!
//! CONNECT is refused because it is a tunnel, TRACE because its answer repeats the token (RFC 9110
//! section 9.3.8), and so is a target without a path (`*`): 403. Who needs one of the removed
//! fields upstream sets it further in, on purpose.
//!
//! # On the way back
//!
//! A field that holds the token is removed, from head and trailers, and a WARN names it. So are,
//! unless [allowed](HfTokenLayer::allow_response_field), fields that speak for another origin than
//! ours or about other credentials than the caller's: `access-control-*`, `alt-svc`,
//! `authentication-info`, `clear-site-data`, `expect-ct`, `nel`, `public-key-pins*`, `report-to`,
//! `reporting-endpoints`, `service-worker-allowed`, `set-cookie`, `set-cookie2`,
//! `strict-transport-security`, `timing-allow-origin`, `www-authenticate`. The client's extensions
//! are dropped: hyper keeps the upstream's reason phrase there, and a server would send it on.
//!
//! A 401 or 407 of the upstream means our credentials, never the caller's, so the caller gets a 502
//! and the log a WARN; [`RequestContext::upstream_status`] keeps the upstream's word. A 403 passes:
//! it may be about the model.
//!
//! # Limits
//!
//! - The token is looked for as it is: an upstream that encodes it before it repeats it is not
//!   caught. Nor are bodies searched.
//! - A redirect passes as it is: the layer follows none. A caller that does leaves the gateway.
//! - Trailers of a request pass over HTTP/2, unfiltered: no recipient may take credentials from
//!   there (RFC 9110 section 6.5.1). Over HTTP/1.1 hyper sends none that `trailer` does not announce.
//! - Fields of one connection are removed from answers by
//!   [`UpstreamLayer`](crate::upstream::UpstreamLayer), not here.
//! - A token's `HeaderValue` and the searcher for it are not wiped when they are dropped.
//! - A file is looked at by the request that comes when it is due, which waits for the disk. One that
//!   is caught half-written is what it holds then: replace it by renaming, as Kubernetes does.

mod body;
mod fields;
mod file;
mod future;
mod origin;
mod query;
mod source;
mod token;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version,
    header::{AUTHORIZATION, HOST},
};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use self::token::Token;
pub use self::{
    body::ResponseBody,
    future::ResponseFuture,
    origin::{Origin, OriginError},
    source::TokenSource,
    token::TokenError,
};
use crate::{
    context::RequestContext,
    hop_by_hop::{is_connection_field, remove_fields, strip_named_fields},
    rejection::{Refusal, RefusalFormat, Rejection},
    withheld::is_withheld,
};

const X_HF_BILL_TO: HeaderName = HeaderName::from_static("x-hf-bill-to");

/// Sends requests to one origin, with its token. See the [module](self).
#[derive(Clone, Debug)]
pub struct HfTokenLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    origin: Origin,
    source: TokenSource,
    bill_to: Option<HeaderValue>,
    // `None` is the usual, and costs nothing to clone.
    allowed: Option<Arc<[HeaderName]>>,
    refusals: RefusalFormat,
}

impl HfTokenLayer {
    /// Sends requests to `origin`, with the token of `source`.
    #[must_use]
    pub fn new(origin: Origin, source: TokenSource) -> Self {
        let refusals = RefusalFormat::default();
        let settings = Settings { origin, source, bill_to: None, allowed: None, refusals };
        Self { settings: Arc::new(settings) }
    }

    /// Charges an organisation or a resource group of the Hub: the value of `x-hf-bill-to`. Nobody
    /// but the token's owner by default.
    #[must_use]
    pub fn bill_to(mut self, name: HeaderValue) -> Self {
        Arc::make_mut(&mut self.settings).bill_to = Some(name);
        self
    }

    /// Lets one field of the upstream's answers pass that is kept back otherwise. Never one that
    /// holds the token.
    #[must_use]
    pub fn allow_response_field(mut self, name: HeaderName) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        let before = settings.allowed.iter().flat_map(|allowed| allowed.iter()).cloned();
        settings.allowed = Some(before.chain([name]).collect());
        self
    }

    /// How refusals look. [`RefusalFormat::Problem`] by default.
    #[must_use]
    pub fn refusals(mut self, format: RefusalFormat) -> Self {
        Arc::make_mut(&mut self.settings).refusals = format;
        self
    }
}

impl<S> Layer<S> for HfTokenLayer {
    type Service = HfToken<S>;

    fn layer(&self, inner: S) -> HfToken<S> {
        HfToken { inner, settings: Arc::clone(&self.settings) }
    }
}

/// The service of [`HfTokenLayer`].
#[derive(Clone, Debug)]
pub struct HfToken<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for HfToken<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future> {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.settings.refusals.for_request(&request);
        match self.settings.prepare(&mut request) {
            Ok(token) => {
                context.set_upstream(self.settings.origin.name());
                let scrub = Scrub { token, allowed: self.settings.allowed.clone() };
                ResponseFuture::calling(self.inner.call(request), scrub, responder, context)
            }
            Err(rejection) => ResponseFuture::refused(rejection, responder, context),
        }
    }
}

impl Settings {
    /// Makes the request one to the origin, and tells the token that it carries.
    fn prepare<B>(&self, request: &mut Request<B>) -> Result<Arc<Token>, Rejection> {
        let forbidden = |detail| Rejection::new(Refusal::Forbidden).with_detail(detail);
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(forbidden("CONNECT and TRACE are not forwarded"));
        }
        let aimed = self.origin.aim(std::mem::take(request.uri_mut()));
        *request.uri_mut() = aimed.ok_or_else(|| forbidden("a request needs a path"))?;
        *request.version_mut() = Version::HTTP_11;

        let headers = request.headers_mut();
        strip_named_fields(headers);
        remove_fields(headers, |name| {
            is_connection_field(name.as_str()) || is_withheld(name.as_str())
        });
        headers.insert(HOST, self.origin.host());
        let token = self.source.current();
        headers.insert(AUTHORIZATION, token.field());
        if let Some(name) = &self.bill_to {
            headers.insert(X_HF_BILL_TO, name.clone());
        }
        Ok(token)
    }
}

/// Keeps back what an answer must not carry. Knows the token that its request carried, which may
/// have been replaced since.
#[derive(Clone, Debug)]
struct Scrub {
    token: Arc<Token>,
    allowed: Option<Arc<[HeaderName]>>,
}

impl Scrub {
    fn clean(&self, fields: &mut HeaderMap) {
        let allowed = self.allowed.as_deref().unwrap_or_default();
        let foreign =
            |name: &HeaderName| fields::is_foreign(name.as_str()) && !allowed.contains(name);
        remove_fields(fields, foreign);

        let leak = |(name, value): (&HeaderName, &HeaderValue)| {
            self.token.is_in(value.as_bytes()).then(|| name.clone())
        };
        while let Some(name) = fields.iter().find_map(leak) {
            tracing::warn!(field = %name, "the upstream repeats the token: the field is removed");
            fields.remove(name);
        }
    }
}
