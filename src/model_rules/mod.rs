//! Middleware that rejects requests for models and providers that the caller may not use.
//!
//! One token at the router of Hugging Face reaches every model of every provider. An operator has to
//! decide which of them may see the prompts of which callers. [`ModelRulesLayer`] compares the
//! [`Target`](crate::model::Target) of a request, as it goes upstream, with [`ModelRules`]. A request
//! passes when one rule allows it. The layer rejects every other request, also one whose target is not
//! certain. `GET /v1/models` lists only the models that the caller may use.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     identity::Callers,
//!     model::Profile,
//!     model_rules::{ModelRule, ModelRules, ModelRulesLayer},
//!     payload::{Payload, PayloadLayer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let rules = ModelRules::new()
//!     .allow(ModelRule::new(["meta-llama/*"]).providers(["together", "hf-inference"]))
//!     .allow(ModelRule::new(["*"]).any_provider().callers(Callers::new().scope("infer:anywhere")));
//!
//! let gateway = ServiceBuilder::new()
//!     .layer(PayloadLayer::new())
//!     .layer(ModelRulesLayer::new(Profile::router(), rules))
//!     .service(service_fn(|_: Request<Payload>| async {
//!         Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//!     }));
//! let status = |model: &str| {
//!     let request = Request::post("/v1/chat/completions")
//!         .header("content-type", "application/json")
//!         .body(Full::<Bytes>::from(format!(r#"{{"model": "{model}"}}"#)))
//!         .unwrap();
//!     let response = gateway.clone().oneshot(request);
//!     async { response.await.unwrap().status() }
//! };
//!
//! assert_eq!(status("meta-llama/Llama-3.1-8B-Instruct:together").await, 200);
//! assert_eq!(status("meta-llama/Llama-3.1-8B-Instruct:groq").await, 403);
//! // The router would choose the provider.
//! assert_eq!(status("meta-llama/Llama-3.1-8B-Instruct").await, 403);
//! assert_eq!(status("https://evil.example").await, 403);
//! # }
//! ```
//!
//! # Rules
//!
//! Rules only allow, so their order does not matter. A rule without a condition applies to every
//! caller, anonymous callers included. All conditions of a rule must match. A condition never matches a
//! caller without an identity.
//!
//! | provider of the target | allowed by |
//! |---|---|
//! | none: an endpoint, a server | every rule for the model |
//! | named: `org/name:together`, `/hf-inference/models/…`, `/models/…` | [`ModelRule::providers`] that lists it, [`ModelRule::any_provider`] |
//! | on its own route: `/together/v1/…`, `/fal-ai/…` | [`ModelRule::providers`] that lists it; for `*` only where the route does not name the model |
//! | chosen by the router: `:cheapest`, no suffix (which means `:fastest`) | [`ModelRule::policies`] that lists it, [`ModelRule::any_provider`] |
//!
//! # Rejections
//!
//! | cause | rejection |
//! |---|---|
//! | no rule allows the target | 403 `forbidden` |
//! | the target is not certain | that of [`TargetError::rejection`](crate::model::TargetError::rejection): 403 `forbidden`, 400 `malformed-payload`, 415 `unsupported-media-type` |
//! | the upstream's list of models is coded, too long or not a list | 502 `upstream-unavailable` |
//! | the memory for lists is used up | 503 `overloaded` |
//!
//! No detail names a model or a provider. The
//! [`RequestContext`](crate::context::RequestContext::target) has them for the log.
//!
//! # The list of models
//!
//! Every caller may GET and HEAD `/v1/models`. The layer rewrites a response of 2xx. `object` is `list`
//! and `data` has the entries of the allowed models with their bytes unchanged. In an entry of the
//! router, providers that the caller may not use are removed. An entry without providers left is removed
//! too. When a policy allows the model all its providers stay, because the router may choose any of
//! them. The list of an endpoint passes unchanged to callers that may use its model.
//!
//! The request goes upstream without conditions and ranges and with `accept-encoding: identity`. A
//! response other than 2xx passes unchanged. Headers that describe the unfiltered list are removed
//! (`etag`, `last-modified`, digests, ranges, `link`, `x-total-count`). `cache-control` becomes
//! `no-store`, because the list is for one caller.
//!
//! # Place
//!
//! Inside of auth and the transform. Outside of the cache, so that the rules apply to hits. Outside of auth no
//! condition matches, and the first request with `authorization` is logged at `warn`.
//!
//! ```text
//! ServiceBuilder::new().layer(transform).layer(model_rules).layer(cache)  // the first is the outermost
//! Router::new().fallback_service(built)                                   // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - A rule names a model as the request does. The Hub finds some models in any case and follows renames.
//!   A rule for one spelling does not allow another.
//! - The entry of a single model (`GET /v1/models/{model}`) and lists on other routes are rejected like
//!   every route that reaches no model. [`ModelRulesLayer::open_route`] opens them without a filter.
//! - The layer reads a list completely before it sends any of it.
//!   [`UpstreamLayer`](crate::upstream::UpstreamLayer) has the deadlines for that.

mod future;
mod layer;
mod list_filter;
mod list_reader;
mod rule;
mod service;
mod settings;

pub use self::{
    future::ResponseFuture,
    layer::ModelRulesLayer,
    rule::{ModelRule, ModelRules},
    service::EnforceModelRules,
};
