//! Kinds of upstreams, and which model of which provider a request will reach.
//!
//! A [`Profile`] describes a kind of upstream. Layers ask it for the form of a body, the name of the
//! output limit, the header of the token and the schemas that apply. It also knows where the
//! upstream looks for the name of the model, and reads a [`Target`] off the request as it goes
//! there. What it cannot tell for certain is a [`TargetError`], never a guess: of two names that
//! differ none is the first.
//!
//! ```
//! use http::{Request, header::CONTENT_TYPE};
//! use tower_inference::{
//!     model::{Policy, Profile, Provider, TargetError},
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
//! assert_eq!(router.target(&request)?.provider, Provider::Chosen(Policy::Fastest));
//!
//! let request = post("/hf-inference/models/org/name", r#"{"model": "org/other", "inputs": ""}"#);
//! assert_eq!(router.target(&request), Err(TargetError::Conflict));
//!
//! // An endpoint serves its one model, whatever the body calls it.
//! let endpoint = Profile::endpoint("org/name");
//! let request = post("/v1/chat/completions", r#"{"model": "https://x.endpoints.example"}"#);
//! assert_eq!(endpoint.target(&request)?.to_string(), "org/name");
//! # Ok::<(), TargetError>(())
//! ```
//!
//! # Where the names stand
//!
//! | upstream | route (POST, unless it says otherwise) | model | provider |
//! |---|---|---|---|
//! | [router](Profile::router) | the [routes of OpenAI](#routes), by `/v1/…` | the body's `model` before its colon | the body's `model` after its colon; without one, [`Policy::Fastest`] |
//! | | `/hf-inference/models/{model}`, `/models/{model}`, alone or followed by `/pipeline/{task}` or a chat, completion or embedding route of OpenAI | the path's; the body may only repeat it | `hf-inference` |
//! | | `/{provider}` and then a route of OpenAI, also below `/openai`, `/inference` or `/compatibility` | the body's, as the provider calls it | the path's; the body may only repeat it |
//! | | `/{provider}/…`, any method | unknown: each provider has its own way to say it | the path's; the body may only repeat it |
//! | [compatible](Profile::compatible), OpenAI, Azure, Mistral, Anthropic | the routes of OpenAI | the body's, colons included | none |
//! | [endpoint](Profile::endpoint), [TEI](Profile::tei) | the routes of OpenAI, TGI and TEI; `/models/{model}…` of its own model | its own, whatever the body says | none |
//!
//! [`Profile::route`] adds to the routes of OpenAI, those below a provider included, and on an
//! endpoint to all.
//!
//! # Routes
//!
//! Of OpenAI, below `/v1`: `audio/speech`, `audio/transcriptions`, `audio/translations`,
//! `chat/completions`, `completions`, `embeddings`, `images/edits`, `images/generations`,
//! `images/variations`, `messages`, `messages/count_tokens`, `moderations`, `rerank`, `responses`,
//! `responses/input_tokens`, `score`. Of TGI: `/`, `/chat_tokenize`, `/generate`,
//! `/generate_stream`, `/invocations`, `/tokenize`, `/vertex`. Of TEI: `/decode`, `/embed`,
//! `/embed_all`, `/embed_sparse`, `/embeddings`, `/predict`, `/rerank`, `/similarity`.
//!
//! A model is reached by these. The [form](Profile::form) of a body is known on more: by the end of
//! the path alone, so below any prefix, and on vLLM's and llama.cpp's own routes (`/classify`,
//! `/completion`, `/detokenize`, `/embedding`, `/infill`, `/pooling`, `/score`).
//!
//! # How they are compared
//!
//! Byte for byte, nothing decoded or folded. A path with a percent sign, a dot segment, an empty one
//! before its last, or anything but letters, digits and `-._~/` has no target. Nor has a body that could be read in
//! two ways: a member `Model` beside or in place of `model` (Go's `encoding/json` takes the one for
//! the other), or another member by which gateways choose (`models`, `provider`, `providers`,
//! `fallbacks`).
//!
//! A name of the Hub is one or two words of letters, digits and `-._`, of 96 bytes each, without a
//! leading dot and without two in a row. Names that servers and providers give have any number of
//! words, also with `@`, `+` and, on a server, colons. A whole `model` has 256 bytes at most. A URL
//! is none of these.
//!
//! # Limits
//!
//! - Query and header fields are not looked at, nor members that choose an adapter (SGLang's
//!   `lora_path`, TGI's `parameters.adapter_id`): behind a server that goes by them,
//!   remove them.
//! - What stands before the path in the origin of the upstream is not seen. Behind
//!   `https://router.huggingface.co/together`, every request is Together's.
//! - TGI takes the body's `model` for the name of an adapter. An endpoint that serves several is
//!   [compatible](Profile::compatible), not an [endpoint](Profile::endpoint).
//! - A model that the answer of another is made with (a moderation model, a draft model, a tool's)
//!   is not a target.

mod body;
mod body_form;
mod error;
#[cfg(any(feature = "throttle", feature = "transform"))]
mod form;
mod name;
mod profile;
mod reach;
mod route;
mod target;
mod wire;

#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::form::{Form, Forms, Takes};
#[cfg(feature = "schema")]
pub(crate) use self::profile::Dialect;
#[cfg(feature = "client")]
pub(crate) use self::route::{is_of_endpoint, is_plain};
pub use self::{
    body_form::BodyForm,
    error::TargetError,
    profile::Profile,
    target::{Policy, Provider, Target},
    wire::{OutputLimit, StreamUsage, TokenHeader},
};
