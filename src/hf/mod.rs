//! The token of the upstream, and the one origin that it may reach.
//!
//! [`HfTokenLayer`] owns both. A request that passes it goes to its origin, wherever it pointed
//! before, and carries its token, whatever it carried before; without the origin there is no way to
//! ask for the token. Made for Hugging Face, it serves any upstream that takes a token in a header:
//! the [profile](HfTokenLayer::profile) names the header.
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
//! Scheme, authority and `host` become the origin's. `authorization` becomes the token's, marked
//! sensitive; where the profile sends the token in another header, `authorization` is removed. The path stays as it is, byte for byte. `host` is set for HTTP/2 too, where it equals
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
//! A header that holds the token is removed, from head and trailers, and a WARN names it. The token
//! is looked for in all the spellings of a [`Scrubber`], and so are the five tokens before it.
//!
//! Removed are also, unless [allowed](HfTokenLayer::allow_response_header), headers by which an
//! upstream would speak for the gateway's origin, about the gateway's credentials, or to a proxy in
//! front of the gateway:
//!
//! - to browsers, for the whole origin: `accept-ch`, `accept-ch-lifetime`, `access-control-*`,
//!   `activate-storage-access`, `alt-svc`, `attribution-reporting-*`, `clear-site-data`,
//!   `content-security-policy`, `content-security-policy-report-only`, `critical-ch`,
//!   `cross-origin-*`, `document-isolation-policy`, `document-policy`,
//!   `document-policy-report-only`, `expect-ct`, `feature-policy`, `integrity-policy`,
//!   `integrity-policy-report-only`, `link`, `nel`, `no-vary-search`, `observe-browsing-topics`,
//!   `origin-agent-cluster`, `origin-trial`, `permissions-policy`,
//!   `permissions-policy-report-only`, `private-network-access-*`, `public-key-pins`,
//!   `public-key-pins-report-only`, `referrer-policy`, `refresh`, `report-to`,
//!   `reporting-endpoints`, `require-document-policy`, `sec-*`, `secure-session-*`,
//!   `service-worker-allowed`, `set-cookie`, `set-cookie2`, `set-login`, `sourcemap`,
//!   `speculation-rules`, `strict-transport-security`, `supports-loading-mode`,
//!   `timing-allow-origin`, `use-as-dictionary`, `x-content-security-policy`,
//!   `x-dns-prefetch-control`, `x-permitted-cross-domain-policies`, `x-sourcemap`, `x-webkit-csp`,
//!   `x-xss-protection`;
//! - about credentials: `authentication-info`, `optional-www-authenticate`, `proxy-authenticate`,
//!   `proxy-authentication-info`, `www-authenticate`;
//! - to a proxy, which would send a file of its own, call another address, or keep the response for
//!   other callers: `edge-control`, `surrogate-*`, `x-accel-*`, `x-appengine-*`, `x-cascade`,
//!   `x-envoy-*`, `x-esi`, `x-lighttpd-*`, `x-litespeed-*`, `x-lsadc-*`, `x-reproxy-*`,
//!   `x-sendfile*`, and the targeted forms of `cache-control` (RFC 9213): `*-cache-control`.
//!
//! `x-accel-buffering` is among them: in front of nginx, turn its buffering off by
//! `proxy_buffering off`, or allow the header. The client's extensions are dropped: hyper keeps the
//! upstream's reason phrase there, and a server would send it on.
//!
//! A 401 or 407 of the upstream means our credentials, never the caller's, so the caller gets a 502
//! and the log a WARN; [`Outcome::upstream_status`](crate::context::Outcome::upstream_status) keeps
//! the upstream's word. A 403 passes:
//! it may be about the model.
//!
//! # Limits
//!
//! - Bodies are not searched for the token, and a [`Scrubber`] has limits of its own.
//! - A redirect passes as it is: the layer follows none. A caller that does leaves the gateway.
//! - Trailers of a request pass over HTTP/2, unfiltered: no recipient may take credentials from
//!   there (RFC 9110 section 6.5.1). Over HTTP/1.1 hyper sends none that `trailer` does not announce.
//! - Fields of one connection are removed from answers by
//!   [`UpstreamLayer`](crate::upstream::UpstreamLayer), not here.
//! - A token's `HeaderValue` and the search for it are not wiped when they are dropped.
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
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header::HOST};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

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
    model::{Profile, TokenHeader},
    rejection::{Refusal, Rejection, RejectionFormat},
    secret::{REDACTED, Scrubber},
    stripped_headers::is_stripped,
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
    token_header: TokenHeader,
    bill_to: Option<HeaderValue>,
    // `None` is the usual, and costs nothing to clone.
    allowed: Option<Arc<[HeaderName]>>,
    rejections: RejectionFormat,
}

impl HfTokenLayer {
    /// Sends requests to `origin`, with the token of `source`.
    #[must_use]
    pub fn new(origin: Origin, source: TokenSource) -> Self {
        let rejections = RejectionFormat::default();
        let token_header = TokenHeader::Bearer;
        let settings =
            Settings { origin, source, token_header, bill_to: None, allowed: None, rejections };
        Self { settings: Arc::new(settings) }
    }

    /// Sets the kind of upstream, which tells the header of the token. By default the token is sent
    /// as `authorization: Bearer`.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        Arc::make_mut(&mut self.settings).token_header = profile.into_token_header();
        self
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
    pub fn allow_response_header(mut self, name: HeaderName) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        let before = settings.allowed.iter().flat_map(|allowed| allowed.iter()).cloned();
        settings.allowed = Some(before.chain([name]).collect());
        self
    }

    /// Returns what takes the token out of other strings, for `AccessLogLayer::scrubber` and for
    /// logs of your own. It follows the token's file.
    #[must_use]
    pub fn scrubber(&self) -> Scrubber {
        self.settings.source.scrubber().clone()
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        Arc::make_mut(&mut self.settings).rejections = format;
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
        let responder = self.settings.rejections.for_request(&request);
        match self.settings.prepare(&mut request) {
            Ok(()) => {
                let scrubber = self.settings.source.scrubber().clone();
                context.set_upstream(self.settings.origin.name());
                let scrub = Scrub { scrubber, allowed: self.settings.allowed.clone() };
                ResponseFuture::calling(self.inner.call(request), scrub, responder, context)
            }
            Err(rejection) => ResponseFuture::refused(rejection, responder, context),
        }
    }
}

impl Settings {
    /// Makes the request one to the origin, with the token.
    fn prepare<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
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
            is_connection_field(name.as_str()) || is_stripped(name.as_str())
        });
        headers.insert(HOST, self.origin.host());
        self.source.current().put_into(headers, &self.token_header);
        if let Some(name) = &self.bill_to {
            headers.insert(X_HF_BILL_TO, name.clone());
        }
        Ok(())
    }
}

/// Keeps back what an answer must not carry.
#[derive(Clone, Debug)]
struct Scrub {
    // Also of the token that the request carried, which may have been replaced since.
    scrubber: Scrubber,
    allowed: Option<Arc<[HeaderName]>>,
}

impl Scrub {
    fn clean(&self, fields: &mut HeaderMap) {
        let allowed = self.allowed.as_deref().unwrap_or_default();
        let foreign =
            |name: &HeaderName| fields::is_foreign(name.as_str()) && !allowed.contains(name);
        remove_fields(fields, foreign);

        let is_in = |text: &[u8]| self.scrubber.is_in(text);
        let leak = |(name, value): (&HeaderName, &HeaderValue)| {
            (is_in(value.as_bytes()) || is_in(name.as_str().as_bytes())).then(|| name.clone())
        };
        while let Some(name) = fields.iter().find_map(leak) {
            let shown = if is_in(name.as_str().as_bytes()) { REDACTED } else { name.as_str() };
            tracing::warn!(field = shown, "the upstream repeats the token: the field is removed");
            fields.remove(name);
        }
    }
}
