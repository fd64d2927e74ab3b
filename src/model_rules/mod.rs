//! Who may use which model of which provider.
//!
//! [`ModelRulesLayer`] lets a request pass when one of its [`ModelRules`] allows this caller the
//! [`Target`](crate::model::Target) that the request will reach, as it goes upstream. All else is
//! refused, and so is a request whose target cannot be told for certain: without a rule for it, no
//! prompt leaves for a provider. `GET /v1/models` answers with what the caller may use.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     model::Profile,
//!     model_rules::{ModelRules, ModelRulesLayer, Models},
//!     payload::{Payload, PayloadLayer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let rules = ModelRules::new()
//!     .allow(Models::of(["meta-llama/*"]).providers(["together", "hf-inference"]))
//!     .allow(Models::of(["*"]).any_provider().scope("infer:anywhere"));
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
//!     let answer = gateway.clone().oneshot(request);
//!     async { answer.await.unwrap().status() }
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
//! A request passes when any rule allows it; there are none that forbid, so their order says
//! nothing. A rule without a condition holds for everyone, anonymous callers included; one with
//! several holds when all of them do; a condition on an identity never holds without one.
//!
//! | provider of the target | allowed by |
//! |---|---|
//! | none: an endpoint, a server | every rule for the model |
//! | named: `org/name:together`, `/hf-inference/models/…`, `/models/…` | [`Models::providers`] that lists it, [`Models::any_provider`] |
//! | by its own route: `/together/v1/…`, `/fal-ai/…` | [`Models::providers`] that lists it; where the route does not tell the model, for `*` only |
//! | chosen by the router: `:cheapest`, no suffix (which is `:fastest`) | [`Models::policies`] that lists it, [`Models::any_provider`] |
//!
//! # Refusals
//!
//! | what | with |
//! |---|---|
//! | no rule allows it | 403 `forbidden` |
//! | its target cannot be told | what [`TargetError::rejection`](crate::model::TargetError::rejection) says: 403 `forbidden`, 400 `malformed-payload`, 415 `unsupported-media-type` |
//! | a list of models that cannot be read | 502 `upstream-unavailable` |
//!
//! No detail names a model or a provider: the caller knows what it asked for, and the
//! [`RequestContext`](crate::context::RequestContext::target) has it for the log.
//!
//! # The list of models
//!
//! GET and HEAD of `/v1/models` pass for everyone who gets here. An answer of 2xx is written anew:
//! `object`, which is `list`, and `data` with the entries of the models that the caller may use,
//! byte for byte as they came. Of a router's entry the providers that the caller may not use are
//! removed, and without providers the entry is; where a policy is allowed for the model all
//! providers stay, because any may be reached. An endpoint's list passes as it is, to those who may use its model.
//!
//! The upstream is asked without the caller's conditions and ranges, and for no coding. An answer
//! that is coded, beyond the limit or no list is refused, but to HEAD; one that is not 2xx passes.
//! Fields that describe the old bytes or the whole list go (`etag`, `last-modified`, digests, ranges,
//! `link`, `x-total-count`), and `cache-control` becomes `no-store`: the list is one caller's.
//!
//! # Limits
//!
//! - Rules name models as the request does. The Hub finds some names in any case, and follows
//!   renamed ones: neither is allowed by a rule for the other.
//! - A single model's entry (`GET /v1/models/{model}`) and lists elsewhere are refused like
//!   every route that reaches no model. [`ModelRulesLayer::open`] opens them, unfiltered.
//! - A list is read as a whole before any of it is sent on: up to the limit, and its document.
//!   How long that may take is for [`UpstreamLayer`](crate::upstream::UpstreamLayer) to say.

mod future;
mod layer;
mod list;
mod rules;

pub use self::{
    future::ResponseFuture,
    layer::{EnforceModelRules, ModelRulesLayer},
    rules::{ModelRules, Models},
};
