//! Describes upstreams and finds the model that a request reaches.
//!
//! Upstreams differ in their routes, bodies and names. A [`Profile`] describes one kind. Layers read from
//! it the form of a body, the name of the output limit, the header of the token and the schemas that
//! apply. Model rules and weights also need the model that a request will reach. [`Profile::target`] finds
//! it where the upstream looks for it and returns a [`Target`]. It never guesses: a request whose target is
//! not certain is a [`TargetError`].
//!
//! ```
//! use http::{Request, header::CONTENT_TYPE};
//! use tower_inference::{
//!     model::{ProviderPolicy, Profile, Provider, TargetError},
//!     payload::Payload,
//! };
//!
//! let post = |path: &str, body: &'static str| {
//!     let request = Request::post(path).header(CONTENT_TYPE, "application/json");
//!     request.body(Payload::buffered(body)).unwrap()
//! };
//! let router = Profile::router();
//!
//! let request = post("/v1/chat/completions", r#"{"model": "org/name:together"}"#);
//! let target = router.target(&request)?;
//! assert_eq!(target.model.as_deref(), Some("org/name"));
//! assert_eq!(target.provider, Provider::Named("together".into()));
//!
//! let request = post("/v1/chat/completions", r#"{"model": "org/name"}"#);
//! assert_eq!(router.target(&request)?.provider, Provider::Chosen(ProviderPolicy::Fastest));
//!
//! let request = post("/hf-inference/models/org/name", r#"{"model": "org/other", "inputs": ""}"#);
//! assert_eq!(router.target(&request), Err(TargetError::Conflict));
//!
//! // An endpoint serves its one model and ignores the name in the body.
//! let endpoint = Profile::endpoint("org/name");
//! let request = post("/v1/chat/completions", r#"{"model": "https://x.endpoints.example"}"#);
//! assert_eq!(endpoint.target(&request)?.to_string(), "org/name");
//! # Ok::<(), TargetError>(())
//! ```
//!
//! # The location of the names
//!
//! | upstream | route (POST unless noted) | model | provider |
//! |---|---|---|---|
//! | [router](Profile::router) | the [routes of OpenAI](#routes), by `/v1/…` | the body's `model` before its colon | the body's `model` after its colon; without one, [`ProviderPolicy::Fastest`] |
//! | | `/hf-inference/models/{model}`, `/models/{model}`, alone or followed by `/pipeline/{task}` or a chat, completion or embedding route of OpenAI | the path's; the body may only repeat it | `hf-inference` |
//! | | `/{provider}` and then a route of OpenAI, also below `/openai`, `/inference` or `/compatibility` | the body's, as the provider calls it | the path's; the body may only repeat it |
//! | | `/{provider}/…`, any method | unknown, because each provider names it differently | the path's; the body may only repeat it |
//! | [compatible](Profile::compatible), OpenAI, Azure, Mistral, Anthropic, vLLM, llama.cpp | the routes of OpenAI | the body's, colons included | none |
//! | [endpoint](Profile::endpoint), [TGI](Profile::tgi), [TEI](Profile::tei), [Space](Profile::space) | the routes of OpenAI, TGI and TEI; `/models/{model}…` of its own model; the functions of a Space | its own; the body's name is ignored | none |
//!
//! [`Profile::route`] adds a route to those of OpenAI, also below a provider. On an endpoint it adds to all
//! routes.
//!
//! # Routes
//!
//! These routes reach a model.
//!
//! | API | routes |
//! |---|---|
//! | OpenAI, below `/v1` | `audio/speech`, `audio/transcriptions`, `audio/translations`, `chat/completions`, `completions`, `embeddings`, `images/edits`, `images/generations`, `images/variations`, `messages`, `messages/count_tokens`, `moderations`, `rerank`, `responses`, `responses/input_tokens`, `score` |
//! | TGI | `/`, `/chat_tokenize`, `/generate`, `/generate_stream`, `/invocations`, `/tokenize`, `/vertex` |
//! | TEI | `/decode`, `/embed`, `/embed_all`, `/embed_sparse`, `/embeddings`, `/predict`, `/rerank`, `/similarity` |
//!
//! The [form](Profile::form) of a body is known on more routes. It depends only on the end of the path and
//! is known below any prefix. It is also known on the own routes of vLLM and llama.cpp
//! (`/apply-template`, `/classify`, `/completion`, `/detokenize`, `/embedding`, `/infill`, `/pooling`,
//! `/reranking`, `/score`). The functions of a [Space](Profile::space) have bodies of no known form.
//!
//! # Comparison
//!
//! Paths and names are compared byte for byte without decoding. A path has no target when it has a percent
//! sign, a dot segment, an empty segment before its last one or a character other than letters, digits and
//! `-._~/`.
//!
//! A body that readers could read in two ways has no target either. One such case is a member `Model`
//! beside or instead of `model` because some readers (Go's `encoding/json`) ignore case. Another is a
//! member by which other gateways choose a model: `models`, `provider`, `providers` and `fallbacks`.
//!
//! A name of the Hub has one or two words of letters, digits and `-._` with at most 96 bytes each. A word
//! has no leading dot and no two dots in a row. A name of a server or provider has any number of words. Its
//! words may contain `@` and `+`. The words of a server's name may contain colons. A whole `model` has at most 256 bytes and is not a
//! URL.
//!
//! # Caveats
//!
//! - Query parameters, headers and members that choose an adapter are ignored (SGLang's `lora_path`, TGI's
//!   `parameters.adapter_id`). Remove them for a server that reads them.
//! - The path prefix in the origin of the upstream is ignored. Behind
//!   `https://router.huggingface.co/together` every request reaches Together.
//! - TGI reads the body's `model` as the name of an adapter. An endpoint with several adapters is
//!   [compatible](Profile::compatible) and not an [endpoint](Profile::endpoint).
//! - A model that helps to compute the output of another is not a target, such as a moderation model, a
//!   draft model or the model of a tool.

mod body_form;
mod body_model;
mod error;
#[cfg(any(feature = "throttle", feature = "transform"))]
mod form;
#[cfg(all(feature = "fallback", feature = "model-rules"))]
mod judge;
pub(crate) mod known_routes;
mod name;
mod profile;
mod profile_settings;
mod resolve;
mod route;
mod server;
#[cfg(feature = "hf")]
mod server_paths;
mod target;

#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::form::{Form, Forms, Takes};
#[cfg(all(feature = "fallback", feature = "model-rules"))]
pub(crate) use self::judge::Judge;
#[cfg(feature = "schema")]
pub(crate) use self::profile::Dialect;
#[cfg(any(feature = "client", feature = "fallback"))]
pub(crate) use self::route::{is_of_endpoint, is_plain};
pub use self::{
    body_form::BodyForm,
    error::TargetError,
    profile::Profile,
    profile_settings::{OutputLimit, StreamUsage, TokenHeader},
    target::{Provider, ProviderPolicy, Target},
};
