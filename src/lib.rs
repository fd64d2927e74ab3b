#![cfg_attr(
    all(
        feature = "access-log",
        feature = "auth",
        feature = "axum",
        feature = "cache",
        feature = "client",
        feature = "hf",
        feature = "request-id",
        feature = "schema",
        feature = "stalled-reader",
        feature = "test-util",
        feature = "throttle",
        feature = "transform",
        feature = "upstream"
    ),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(
        feature = "access-log",
        feature = "auth",
        feature = "axum",
        feature = "cache",
        feature = "client",
        feature = "hf",
        feature = "request-id",
        feature = "schema",
        feature = "stalled-reader",
        feature = "test-util",
        feature = "throttle",
        feature = "transform",
        feature = "upstream"
    )),
    doc = "Tower layers that make your service a guarded gateway to Hugging Face. Build the docs with \
           `--features full,test-util` for the whole page."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    missing_debug_implementations,
    missing_docs,
    unnameable_types,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use
)]
#![cfg_attr(
    not(test),
    warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)
)]

// First, because a macro is visible in the modules after it.
#[macro_use]
mod inner_service;

// The ground floor: words that every layer uses.
#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
mod address_reach;
pub mod body;
#[cfg(any(
    feature = "access-log",
    feature = "auth",
    feature = "fallback",
    feature = "throttle",
    feature = "upstream"
))]
mod calendar;
mod causes;
pub mod clock;
#[cfg(feature = "auth")]
mod digest_mismatch;
mod error_debug;
#[cfg(any(feature = "client", feature = "upstream"))]
mod failure_reason;
#[cfg(any(feature = "auth", feature = "hf"))]
mod fetch;
#[cfg(any(feature = "audit", feature = "auth", feature = "hf"))]
mod file_reason;
#[cfg(any(feature = "audit", feature = "auth", feature = "hf"))]
mod file_version;
#[cfg(any(feature = "cache", feature = "hf", feature = "transform", feature = "upstream"))]
mod hop_by_hop;
#[cfg(feature = "access-log")]
mod json_object;
mod json_string;
#[cfg(any(feature = "access-log", feature = "cache", feature = "throttle"))]
mod keyed_hash;
#[cfg(any(feature = "fallback", feature = "upstream"))]
#[cfg_attr(
    not(feature = "upstream"),
    expect(dead_code, reason = "only UpstreamLayer uses all of it")
)]
mod load_limit;
mod lock;
#[cfg(any(feature = "hf", feature = "upstream"))]
mod log_limit;
#[cfg(any(
    feature = "auth",
    feature = "client",
    feature = "hf",
    feature = "redis",
    feature = "schema"
))]
mod lookalike;
#[cfg(any(feature = "auth", feature = "client", feature = "hf"))]
mod loopback;
pub mod memory_limit;
#[cfg(any(
    not(feature = "decompression"),
    all(feature = "cache", not(feature = "cache-compression"))
))]
mod missing_feature;
#[cfg(any(feature = "audit", feature = "auth"))]
mod once_a_minute;
#[cfg(any(feature = "auth", feature = "hf", feature = "redis"))]
mod owned_task;
#[cfg(any(feature = "access-log", feature = "auth", feature = "throttle", feature = "upstream"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(
        feature = "access-log",
        feature = "auth",
        feature = "throttle",
        feature = "upstream"
    )))
)]
pub mod peer;
#[cfg(any(feature = "auth", feature = "client", feature = "hf", feature = "upstream"))]
mod plain_http;
#[cfg(any(feature = "access-log", feature = "auth", feature = "hf"))]
mod printable;
#[cfg(feature = "redis")]
mod redis_link;
#[cfg(any(feature = "fallback", feature = "upstream"))]
#[cfg_attr(
    not(feature = "upstream"),
    expect(dead_code, reason = "only UpstreamLayer reads when rate limits reset")
)]
mod retry_after;
pub mod secret;
#[cfg(any(feature = "audit", feature = "auth", feature = "hf"))]
mod secret_file;
#[cfg(any(feature = "audit", feature = "auth"))]
mod sha256;
mod skip;
pub mod sse;
#[cfg(any(feature = "hf", feature = "transform"))]
mod stripped_headers;
#[cfg(any(feature = "hf", feature = "transform"))]
mod stripped_query;
mod text_tokens;
#[cfg(any(
    feature = "axum",
    feature = "cache",
    feature = "model-rules",
    feature = "throttle",
    feature = "transform"
))]
mod unverified;
mod yield_now;

// The first floor: what layers tell each other.
pub mod context;
#[cfg(any(feature = "throttle", feature = "transform"))]
mod generation;
pub mod identity;
#[cfg(feature = "throttle")]
#[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
pub mod limits;
pub mod model;
pub mod payload;
#[cfg(feature = "access-log")]
#[cfg_attr(docsrs, doc(cfg(feature = "access-log")))]
pub mod record;
pub mod rejection;
#[cfg(any(feature = "client", feature = "hf"))]
mod replay;
#[cfg(feature = "hf")]
mod stages;
pub mod tap;

// The second floor: one room per layer.
#[cfg(feature = "access-log")]
#[cfg_attr(docsrs, doc(cfg(feature = "access-log")))]
pub mod access_log;
#[cfg(feature = "audit")]
#[cfg_attr(docsrs, doc(cfg(feature = "audit")))]
pub mod audit;
#[cfg(feature = "auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
pub mod auth;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub mod cache;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
#[cfg(feature = "access-log")]
#[cfg_attr(docsrs, doc(cfg(feature = "access-log")))]
pub mod explain;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod extract;
#[cfg(feature = "fallback")]
#[cfg_attr(docsrs, doc(cfg(feature = "fallback")))]
pub mod fallback;
#[cfg(feature = "hf")]
#[cfg_attr(docsrs, doc(cfg(feature = "hf")))]
pub mod hf;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(feature = "model-rules")]
#[cfg_attr(docsrs, doc(cfg(feature = "model-rules")))]
pub mod model_rules;
#[cfg(feature = "request-id")]
#[cfg_attr(docsrs, doc(cfg(feature = "request-id")))]
pub mod request_id;
pub mod route;
#[cfg(feature = "schema")]
#[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
pub mod schema;
#[cfg(feature = "stalled-reader")]
#[cfg_attr(docsrs, doc(cfg(feature = "stalled-reader")))]
pub mod stalled_reader;
#[cfg(feature = "throttle")]
#[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
pub mod throttle;
#[cfg(feature = "throttle")]
#[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
pub mod token_budget;
#[cfg(feature = "transform")]
#[cfg_attr(docsrs, doc(cfg(feature = "transform")))]
pub mod transform;
#[cfg(feature = "upstream")]
#[cfg_attr(docsrs, doc(cfg(feature = "upstream")))]
pub mod upstream;

// The top floor: the whole, put together.
pub mod stack;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod test_util;

/// Every bound of the crate with its default and its setter.
///
#[doc = include_str!("docs/bounds.md")]
#[cfg(doc)]
pub mod bounds {}

/// The credentials of callers, each with the flags of the example and a request.
///
#[doc = include_str!("docs/authentication.md")]
#[cfg(all(doc, feature = "auth", feature = "throttle"))]
pub mod authentication {}

/// Upstreams, fallback and cold models, each with the flags of the example and a request.
///
#[doc = include_str!("docs/upstreams.md")]
#[cfg(all(doc, feature = "client", feature = "fallback", feature = "upstream"))]
pub mod upstreams {}

/// How to test your own gateway.
///
#[doc = include_str!("docs/testing.md")]
#[cfg(all(
    doc,
    feature = "auth",
    feature = "cache",
    feature = "test-util",
    feature = "throttle",
    feature = "upstream"
))]
pub mod testing {}

/// Time and allocations of each layer and how to measure them.
///
#[doc = include_str!("docs/costs.md")]
///
#[doc = include_str!("docs/growth.md")]
#[cfg(doc)]
pub mod costs {}

/// How the tokens of a text are estimated beside the true counts of eight tokenizers.
///
#[doc = include_str!("docs/estimates.md")]
#[cfg(doc)]
pub mod estimates {}

/// The names that logs, rejections and metrics have, which follow semantic versioning.
///
#[doc = include_str!("docs/stable_names.md")]
#[cfg(doc)]
pub mod stable_names {}

/// How to write a layer of your own and where it goes in a stack.
///
#[doc = include_str!("docs/own_layer.md")]
#[cfg(doc)]
pub mod own_layer {}

/// Messages of the compiler with their causes and remedies.
///
#[doc = include_str!("docs/compile_errors.md")]
#[cfg(doc)]
pub mod compile_errors {}
