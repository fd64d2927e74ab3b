//! Opens the routes of inference and names them.
//!
//! A gateway adds its own token to each request that it forwards. A client must therefore not reach
//! the other routes of the upstream, such as files, fine-tuning and metrics. [`RouteLayer`] passes on
//! the known routes of inference and rejects all others. It tells the layers further in what they
//! need to know about the route:
//!
//! | for | what |
//! |---|---|
//! | access log, cache, [`Limit::per_route`](crate::limits::Limit::per_route), [`SchemaLayer::route`](crate::schema::SchemaLayer::route) | the name in the [`RequestContext`](crate::context::RequestContext::route) |
//! | [`PayloadLayer::by_route`](crate::payload::PayloadLayer::by_route) | whether the body is JSON, of any type or streamed |
//!
//! ```
//! use tower_inference::{model::Profile, route::RouteLayer};
//!
//! let layer = RouteLayer::new(&Profile::router());
//! ```
//!
//! # Example
//!
//! One stack serves all routes. [`Stack::route`](crate::stack::Stack::route) puts the layer inside of
//! the access log, so that the log has its rejections, and outside of the layers that need the route.
//!
#![cfg_attr(all(feature = "schema", feature = "transform", feature = "upstream"), doc = "```")]
#![cfg_attr(
    not(all(feature = "schema", feature = "transform", feature = "upstream")),
    doc = "```text"
)]
//! use bytes::Bytes;
//! use http::{Method, Request, Response, StatusCode};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     context::RequestContext,
//!     model::Profile,
//!     payload::{Payload, PayloadLayer},
//!     route::RouteLayer,
//!     schema::{BuiltInSchemas, SchemaLayer},
//!     stack::Stack,
//!     transform::TransformLayer,
//!     upstream::UpstreamLayer,
//! };
//!
//! async fn client(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let context = RequestContext::of(request.extensions()).unwrap();
//!     Ok(Response::new(Full::from(context.route().unwrap().to_owned())))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let profile = Profile::compatible();
//! let gateway = Stack::new()
//!     .route(RouteLayer::new(&profile))
//!     .payload(PayloadLayer::by_route())
//!     .schema(SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone())))
//!     .transform(TransformLayer::new().max_output_tokens(4096).binary_bodies())
//!     .upstream(UpstreamLayer::new())
//!     .layer(service_fn(client));
//!
//! let send = async |method: Method, path: &str, content_type: &str, body: &'static str| {
//!     let request = Request::builder().method(method).uri(path).header("content-type", content_type);
//!     gateway.clone().oneshot(request.body(Full::from(body)).unwrap()).await.unwrap().status()
//! };
//! let (get, post) = (Method::GET, Method::POST);
//! let json = "application/json";
//! let speech = "multipart/form-data; boundary=x";
//! assert_eq!(send(get, "/v1/models", "", "").await, StatusCode::OK);
//! assert_eq!(send(post.clone(), "/v1/embeddings", json, r#"{"input": "a"}"#).await, StatusCode::OK);
//! assert_eq!(send(post.clone(), "/v1/audio/transcriptions", speech, "--x--").await, StatusCode::OK);
//! assert_eq!(send(post, "/v1/fine_tuning/jobs", json, "{}").await, StatusCode::NOT_FOUND);
//! # }
//! ```
//!
//! # Routes
//!
//! The name of a route is its path with `{model}` in place of a model's name. Paths are compared byte
//! for byte, without decoding. Another spelling of a path is not open.
//!
//! | API | routes (POST unless noted) |
//! |---|---|
//! | OpenAI, below `/v1` | `audio/speech`, `audio/transcriptions`, `audio/translations`, `chat/completions`, `completions`, `embeddings`, `images/edits`, `images/generations`, `images/variations`, `models` (GET, HEAD), `moderations`, `responses`, `responses/input_tokens` |
//! | Anthropic, below `/v1` | `messages`, `messages/count_tokens` |
//! | vLLM, SGLang, llama.cpp | `/classify`, `/completion`, `/detokenize`, `/embedding`, `/infill`, `/pooling`, `/score`, `/v1/rerank`, `/v1/score`, `/v2/rerank` |
//! | TGI | `/`, `/chat_tokenize`, `/generate`, `/generate_stream`, `/invocations`, `/tokenize`, `/vertex` |
//! | TEI | `/decode`, `/embed`, `/embed_all`, `/embed_sparse`, `/embeddings`, `/predict`, `/rerank`, `/similarity` |
//! | Hugging Face, also below `/hf-inference` | `/models/{model}`, alone or followed by `/pipeline/feature-extraction`, `/pipeline/sentence-similarity`, `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` |
//!
//! Routes that were [added to the profile](crate::model::Profile::route) are open for POST.
//! [`RouteLayer::route`] opens another path or gives a path another name.
//!
//! # Bodies
//!
//! [`PayloadLayer::by_route`](crate::payload::PayloadLayer::by_route) reads bodies by their route:
//!
//! | route | body |
//! |---|---|
//! | `audio/transcriptions`, `audio/translations`, `images/edits`, `images/variations` | [streamed](crate::payload::PayloadLayer::streamed) |
//! | `/`, `/models/{model}`, added routes of the forms `Any` and `Media` | [of any type](crate::payload::PayloadLayer::bytes) |
//! | all others | [JSON](crate::payload::PayloadLayer::new) |
//!
//! Layers that edit or count bodies reject those that are not JSON unless a setter allows them:
//! `TransformLayer::binary_bodies` and `TokenBudgetLayer::flat_cost`. `ModelRulesLayer` rejects
//! streamed bodies, because their model is not known.
//!
//! # Routes with settings of their own
//!
//! A router of yours can lead to several stacks. [`RouteLayer::named`] then names the requests of each.
//! Clones of a layer share its state: counters, cache entries, slots and memory limits. A
//! `CacheLayer`, a `ThrottleLayer` and an `UpstreamLayer` are therefore made once and cloned into
//! each stack.
//!
#![cfg_attr(all(feature = "cache", feature = "throttle", feature = "upstream"), doc = "```")]
#![cfg_attr(
    not(all(feature = "cache", feature = "throttle", feature = "upstream")),
    doc = "```text"
)]
//! use std::time::Duration;
//! use tower::{Layer, ServiceBuilder};
//! use tower_inference::{
//!     cache::{CacheLayer, Scope},
//!     limits::{Limit, Rate},
//!     payload::PayloadLayer,
//!     route::RouteLayer,
//!     stack::Stack,
//!     throttle::ThrottleLayer,
//!     upstream::UpstreamLayer,
//! };
//!
//! let cache = CacheLayer::new("upstream", Scope::Identity);
//! let throttle = ThrottleLayer::new(Limit::per_identity(Rate::per_second(10).burst(20)));
//! let shared = Stack::new().throttle(throttle).cache(cache);
//! let chat = shared.clone().upstream(UpstreamLayer::new().total_timeout(Duration::from_secs(600)));
//! let embeddings = shared
//!     .payload(PayloadLayer::new().max_body_bytes(1 << 20))
//!     .upstream(UpstreamLayer::new().total_timeout(Duration::from_secs(10)));
//! # let client = ();
//! let chat = RouteLayer::named("chat").layer(chat.layer(client));
//! let embeddings = RouteLayer::named("embeddings").layer(embeddings.layer(client));
//! # drop((chat, embeddings));
//! ```
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | the path is not open | 404 `not-found` |
//! | the path is open for other methods | 405 `method-not-allowed` with `allow` |
//!
//! # Caveats
//!
//! - A name that is in the context already stays.
//! - The routes of other providers below the router (`/together/v1/…`) are closed unless
//!   [`RouteLayer::route`] opens them.
//! - Bodies of gRPC are not JSON. Their routes need a stack of their own with
//!   [`PayloadLayer::streamed`](crate::payload::PayloadLayer::streamed).
//! - The layer sees the path before `TransformLayer` edits it.

mod future;
mod layer;
mod service;
mod table;

pub use self::{future::ResponseFuture, layer::RouteLayer, service::NameRoute};
