//! Middleware that sends requests to one upstream origin with the token of that origin.
//!
//! A gateway holds a token that its callers must not see. [`HfTokenLayer`] owns the token and the only
//! origin that may receive it. A request is sent to this origin whatever address it had, and with this
//! token whatever credentials it had. The response passes without the token. The layer is made for
//! Hugging Face and serves any upstream that takes a token in a header: the
//! [profile](HfTokenLayer::profile) names the header.
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
//! # The request
//!
//! - Scheme, authority and `host` become those of the origin. `host` is also set for HTTP/2, where it
//!   equals `:authority`. The path keeps its bytes. A version at the end of the origin's prefix, such as
//!   `/v1`, is not repeated.
//! - `authorization` becomes the token's value and is marked sensitive. When the profile sends the token
//!   in another header, `authorization` is removed.
//! - The version becomes HTTP/1.1, which an HTTP client takes as the version of its own connection. A
//!   client over HTTP/1.1 fails on a request that says HTTP/2.
//! - CONNECT is rejected because it opens a tunnel. TRACE is rejected because its response repeats the
//!   token (RFC 9110 section 9.3.8). A target without a path, as `*`, is rejected too. All three are a
//!   403 `forbidden`.
//!
//! The layer removes these headers. A layer further in can set one of them again.
//!
//! | removed request headers | reason |
//! |---|---|
//! | `connection` and the headers that it names, `keep-alive`, `transfer-encoding`, `upgrade`, `http2-settings`, `proxy-*`, `te` other than `trailers` (gRPC needs that), `trailer` | hop-by-hop |
//! | `expect` | is between the client and the gateway |
//! | `cookie`, `x-amz-*`, every name that ends in `access-key`, `api-key`, `apikey`, `assertion`, `authorization`, `cookie`, `credential`, `credentials`, `jwt`, `password`, `secret`, `subscription-key`, `token` | credentials of the caller |
//! | `forwarded`, `x-forwarded-*`, `x-original-*`, `x-real-ip`, `x-client-ip`, `true-client-ip`, `cf-connecting-ip`, `x-auth-*`, `x-authent*`, `x-remote-*`, `remote-*`, `x-amzn-oidc-*`, `x-amzn-mtls-*`, `x-ms-client-principal*`, `x-ms-token-*`, `x-goog-iap-*`, `x-goog-authenticated-user-*`, `cf-access-*`, `x-pomerium-*`, `x-vouch-*`, `x-webauth-*`, `tailscale-user-*`, `client-cert*`, `x-client-cert*`, `ssl-client-*`, `x-ssl-client-*`, `x-arr-clientcert`, `x-consumer-*` | identity and address of the caller, as proxies state them and clients forge them |
//! | `x-host`, `x-rewrite-url` | some upstreams route by them |
//! | `azureml-*`, `x-amzn-sagemaker-*`, `mm-model-id`, `mm-vmodel-id`, `model`, `routing-strategy`, `x-selected-model`, `x-data-parallel-rank`, `x-gateway-*`, `x-ai-eg-*`, `x-portkey-*`, `x-litellm-*`, `helicone-*`, `cf-aig-*` | choose a model, a replica or a provider behind the upstream: [Azure ML](https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints), [SageMaker](https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html), ModelMesh, AIBrix, vLLM, the Gateway API's inference extension and other gateways |
//! | `x-hf-bill-to`, `openai-organization`, `openai-project` | choose who pays; [`HfTokenLayer::bill_to`] sets the first |
//! | names with an underscore | CGI and WSGI servers read an underscore as a dash |
//!
//! It also removes credentials from the query. A name matches with dashes or underscores and with or
//! without a suffix in brackets.
//!
//! | removed query parameters |
//! |---|
//! | `X-Amz-*`, `access_token`, `id_token`, `auth_token`, `token`, `authorization`, `api_key`, `apikey`, `x-api-key`, `access-key`, `subscription-key`, `key`, `client_secret`, `secret`, `password`, `jwt` |
//!
//! # The response
//!
//! A header or trailer that contains the token is removed and an event names it. A [`Scrubber`]
//! finds the token in every spelling that it knows. It also finds the five tokens before the current
//! one.
//!
//! These headers are removed too, unless they are [allowed](HfTokenLayer::allow_response_header). With
//! them an upstream would speak for the origin of the gateway.
//!
//! | removed response headers | reason |
//! |---|---|
//! | `accept-ch`, `accept-ch-lifetime`, `access-control-*`, `activate-storage-access`, `alt-svc`, `attribution-reporting-*`, `clear-site-data`, `content-security-policy`, `content-security-policy-report-only`, `critical-ch`, `cross-origin-*`, `document-isolation-policy`, `document-policy`, `document-policy-report-only`, `expect-ct`, `feature-policy`, `integrity-policy`, `integrity-policy-report-only`, `link`, `nel`, `no-vary-search`, `observe-browsing-topics`, `origin-agent-cluster`, `origin-trial`, `permissions-policy`, `permissions-policy-report-only`, `private-network-access-*`, `public-key-pins`, `public-key-pins-report-only`, `referrer-policy`, `refresh`, `report-to`, `reporting-endpoints`, `require-document-policy`, `sec-*`, `secure-session-*`, `service-worker-allowed`, `set-cookie`, `set-cookie2`, `set-login`, `sourcemap`, `speculation-rules`, `strict-transport-security`, `supports-loading-mode`, `timing-allow-origin`, `use-as-dictionary`, `x-content-security-policy`, `x-dns-prefetch-control`, `x-permitted-cross-domain-policies`, `x-sourcemap`, `x-webkit-csp`, `x-xss-protection` | browsers apply them to the whole origin |
//! | `authentication-info`, `optional-www-authenticate`, `proxy-authenticate`, `proxy-authentication-info`, `www-authenticate` | are about the gateway's credentials |
//! | `edge-control`, `surrogate-*`, `x-accel-*`, `x-appengine-*`, `x-cascade`, `x-envoy-*`, `x-esi`, `x-lighttpd-*`, `x-litespeed-*`, `x-lsadc-*`, `x-reproxy-*`, `x-sendfile*`, `*-cache-control` (RFC 9213) | command a proxy in front of the gateway to send a file, call an address or cache the response |
//!
//! `x-accel-buffering` is one of them. In front of nginx, set `proxy_buffering off` or allow the header.
//!
//! With [`scrub_bodies`](HfTokenLayer::scrub_bodies) the layer also masks the token in bodies:
//!
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use std::convert::Infallible;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use tower_inference::{hf::{HfTokenLayer, Origin, TokenSource}, secret::Secret};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin: Origin = "https://router.huggingface.co".parse()?;
//! # let token = TokenSource::value(Secret::new("hf_example"))?;
//! let client = service_fn(|_: Request<Full<Bytes>>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(r#"{"error":"no such token: hf_example"}"#)))
//! });
//! let client = HfTokenLayer::new(origin, token).scrub_bodies().layer(client);
//! let response = client.oneshot(Request::get("/v1/models").body(Full::default())?).await?;
//! let body = response.into_body().collect().await?.to_bytes();
//! assert_eq!(body, r#"{"error":"no such token: **********"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! The extensions of the HTTP client's response are dropped. hyper keeps the upstream's reason phrase
//! there and a server would send it.
//!
//! A 401 or 407 of the upstream is about the gateway's token and not about the caller. A 407, and a 401
//! that no [other token](#a-rejected-token) follows, is a 502 `upstream-unavailable` for the caller and an
//! event in the log. [`Outcome::upstream_status`] keeps the upstream's status. A 403 passes, because
//! it may be about the model.
//!
//! # Sources of the token
//!
//! A token is checked to be visible ASCII without quotes, is marked sensitive and is never printed. Its
//! header value is wiped when the last copy is dropped. Each source says what happens when it fails.
//!
//! ## A value or an environment variable
//!
//! The token never changes. A bad one is an error at the start.
//!
//! ```
//! # use tower_inference::{hf::TokenSource, secret::Secret};
//! let token = TokenSource::value(Secret::new("hf_example"))?;
//! # let _ = token;
//! # Ok::<(), tower_inference::hf::TokenError>(())
//! ```
//!
//! ```no_run
//! # use tower_inference::hf::TokenSource;
//! let token = TokenSource::env("HF_TOKEN")?;
//! # Ok::<(), tower_inference::hf::TokenError>(())
//! ```
//!
//! ## A file
//!
//! The file is read at most once a second and followed by its content: plain writes, renames and the
//! swapped symbolic link of a Kubernetes secret. A file that is gone, half-written or not valid keeps the
//! last good token, and each change of this state is one line in the log. A file that its group or others
//! can write is refused.
//!
//! ```no_run
//! # use tower_inference::hf::TokenSource;
//! let token = TokenSource::file("/run/secrets/hf-token")?;
//! # Ok::<(), tower_inference::hf::TokenError>(())
//! ```
//!
//! ## A function
//!
//! Any async function brings the token, from a vault or from a service of yours.
//!
//! ```
//! use std::{io, sync::Arc, time::Duration};
//! use tower_inference::{hf::{FetchedToken, TokenSource}, secret::Secret};
//!
//! struct Vault; // your client
//! impl Vault {
//!     async fn read(&self) -> io::Result<String> {
//!         Ok("hf_example".to_owned())
//!     }
//! }
//!
//! let vault = Arc::new(Vault);
//! let token = TokenSource::fetch(move || {
//!     let vault = Arc::clone(&vault); // for each fetch
//!     async move {
//!         let token = FetchedToken::new(Secret::new(vault.read().await?));
//!         Ok::<_, io::Error>(token.expires_in(Duration::from_secs(3_600)))
//!     }
//! });
//! # let _ = token;
//! ```
//!
//! | the fetch | requests |
//! |---|---|
//! | is due, at a random time between 75 % and 90 % of the lifetime | use the present token and do not wait |
//! | fails, takes longer than [`fetch_timeout`](TokenSource::fetch_timeout) or brings no valid token | use the last good token within the [`grace`](TokenSource::grace) and never beyond its expiry |
//! | runs, and there is no usable token | wait for this one fetch, at most for `fetch_timeout` |
//! | has failed, and there is no usable token | 503 `upstream-token-unavailable` with `retry-after` |
//!
//! No request is sent without a token. A failed fetch is repeated after a random time of at most 1
//! second, which doubles up to 30 seconds. The log has one WARN event when the fetches begin to fail and
//! one INFO event when they succeed again.
//!
//! ## A token of the workload
//!
//! Hugging Face exchanges an OpenID Connect token of the workload for an hourly token, so that none is
//! stored. The workload's token is a projected service-account token of Kubernetes, or comes from a
//! function, such as a call of AWS STS. The rules of a function hold. An exchange that is refused is
//! logged with what to check. See [`TokenExchange`].
//!
//! The exchange was built from the documentation of Hugging Face. It was not run against the real
//! service.
//!
//! ```no_run
//! # use std::convert::Infallible;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower_inference::hf::{SubjectToken, TokenExchange, TokenSource};
//! # let client = tower::service_fn(|_: Request<Full<bytes::Bytes>>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
//! # });
//! let subject = SubjectToken::file("/var/run/secrets/huggingface/token")?;
//! let token = TokenSource::exchange(TokenExchange::new(client, subject, "your-user-name"));
//! # let _ = token;
//! # Ok::<(), tower_inference::hf::TokenError>(())
//! ```
//!
//! ## Several tokens
//!
//! Each tenant or each model can have a token of its own. See [`Tokens`]. A request without one is
//! rejected with 403 `forbidden`, unless `otherwise` names a token for it. A request whose model is not
//! certain has none in any case. So has one whose body is not [buffered](#buffered-bodies) in a
//! [`Payload`], unless it is a `GET` or its path names the model.
//!
//! | caller | issuer | tenant |
//! |---|---|---|
//! | JWT | `iss`, byte for byte | the claim that `ClaimMapping::tenant` or the `Provider` names, else none |
//! | API key | `api-keys`, unless `ApiKeys` names another | `ApiKeyRecord::tenant` |
//!
//! ```
//! # use tower_inference::{hf::{HfTokenLayer, TokenSource, Tokens}, secret::Secret};
//! # let token = |token: &str| TokenSource::value(Secret::new(token));
//! let tokens = Tokens::by_tenant()
//!     .tenant("https://idp.example", "research", token("hf_research")?)
//!     .tenant("https://idp.example", "sales", token("hf_sales")?);
//! let layer = HfTokenLayer::new("https://router.huggingface.co".parse()?, tokens);
//! assert!(layer.is_ready());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A rejected token
//!
//! The upstream may withdraw a token before the gateway knows its successor. When it responds 401, a file
//! is read at once and a function is called at once. All requests with this token share the look.
//!
//! | the source | the request |
//! |---|---|
//! | has another token | is sent once more, if its body is [buffered](#buffered-bodies), and is a 502 otherwise |
//! | has the same token, has another one that is rejected too, or fails | 502; for 30 seconds a further 401 is a 502 without a look |
//! | never changes (a value or a variable) | 502 |
//!
//! [`Outcome::abandoned`] records the first attempt. The copy of the request is one allocation, and none
//! for a token that never changes.
//!
//! ## Buffered bodies
//!
//! `PayloadLayer::new()` buffers the body in a [`Payload`]. A `Full` and an
//! `Empty` are buffered too. The body of a server and that of `PayloadLayer::streamed()` are not, so a
//! request with one is sent once.
//!
//! # Place
//!
//! The innermost layer, right outside of the HTTP client, so that no other layer sees the token.
//!
//! ```text
//! ServiceBuilder::new().layer(upstream).layer(hf_token).service(client)  // the first is the outermost
//! Router::new().fallback_service(built)                                  // around the client
//! ```
//!
//! # Caveats
//!
//! - Bodies are searched for the token only with [`HfTokenLayer::scrub_bodies`]. [`Scrubber`] has caveats
//!   of its own.
//! - Redirects pass unchanged. A client that follows one leaves the gateway.
//! - Clients set the rate of the events that their requests cause. Such an event is WARN once a minute for
//!   each stage and DEBUG otherwise.
//! - Request trailers pass unfiltered over HTTP/2. No recipient may take credentials from them (RFC 9110
//!   section 6.5.1). Over HTTP/1.1 hyper sends only announced trailers, and `trailer` is removed.
//! - Hop-by-hop headers of a response are removed by [`UpstreamLayer`](crate::upstream::UpstreamLayer)
//!   and not here.
//! - The search for the token and the buffers of the HTTP client are not wiped on drop.
//! - The request that checks a token's file waits for the disk. A file whose token is cut off is read as
//!   it is and read again when the upstream rejects it. Replace the file by renaming, as Kubernetes does.
//! - A task polls the fetches of a function. It needs a tokio runtime with its timer. The source owns the
//!   task and ends it with its last clone.
//! - A second attempt has the extensions of the first one no more, apart from the `RequestContext`.
//!
//! [`Outcome::abandoned`]: crate::context::Outcome::abandoned
//! [`Outcome::upstream_status`]: crate::context::Outcome::upstream_status
//! [`Payload`]: crate::payload::Payload
//! [`Scrubber`]: crate::secret::Scrubber

mod attempt;
mod body;
mod future;
mod layer;
mod response_filter;
mod scrub;
mod service;
mod settings;
#[cfg(test)]
mod tests;

pub use self::{body::ResponseBody, future::ResponseFuture, layer::HfTokenLayer, service::HfToken};
#[cfg(feature = "aws")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws")))]
pub use crate::stages::{AwsSecret, AwsWebIdentity};
pub use crate::stages::{
    FetchedToken, ModelTokens, Origin, OriginError, Stage, SubjectToken, TenantTokens, TokenError,
    TokenExchange, TokenExchangeError, TokenFault, TokenSource, Tokens,
};
