//! One record of each request, at its true end.
//!
//! [`AccessLogLayer`] writes exactly one record of each request that its service is called with:
//! when the last byte of the answer's body was handed on, when it failed, or when the request was
//! dropped at whatever point. It writes
//!
//! - a `tracing` event ([`AccessLogLayer::new`]): target `tower_inference::access`, level INFO;
//! - a line of JSON ([`AccessLogLayer::json`]) into a [`Sink`], whose slow or stuck writer delays
//!   no request;
//! - or whatever your own [`RecordSink`] makes of it ([`AccessLogLayer::to`]).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     access_log::{AccessLogLayer, Record},
//!     body::BodyEnd,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let lines = Arc::new(Mutex::new(Vec::new()));
//! let sink = Arc::clone(&lines);
//! let layer = AccessLogLayer::to(move |record: &Record<'_>| {
//!     let status = record.status().map_or(0, |status| status.as_u16());
//!     let line = format!("{} {} {status} {}", record.method(), record.path(), record.bytes_out());
//!     sink.lock().unwrap().push((line, record.outcome()));
//! });
//!
//! let service = layer.layer(service_fn(|_| async {
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! }));
//! let request = Request::get("/v1/models?key=secret").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//!
//! // There is a head, but the end is still to come.
//! assert!(lines.lock().unwrap().is_empty());
//! response.into_body().collect().await.unwrap();
//! assert_eq!(
//!     *lines.lock().unwrap(),
//!     [("GET /v1/models 200 5".to_owned(), BodyEnd::Complete)]
//! );
//! # }
//! ```
//!
//! # What a record holds
//!
//! Members of the JSON line, in this order. The event has the same fields, nested ones as
//! `principal.issuer`. What is not known is left out.
//!
//! | member | what | left out |
//! |---|---|---|
//! | `time` | when the request came: RFC 3339, UTC, milliseconds | |
//! | `request_id` | the id that `RequestIdLayer` gave it | no id |
//! | `trace_id` | of its `traceparent` | no legal one |
//! | `principal` | who called: `proof`, `issuer`, `subject` | not authenticated |
//! | `tenant` | on whose behalf | no tenant |
//! | `method` | | |
//! | `path` | without the query, which may hold secrets; the first 2,048 bytes | |
//! | `http_version` | `1.1`, `2` | unless [asked for](AccessLogLayer::http_version) |
//! | `user_agent` | | none; unless [asked for](AccessLogLayer::user_agent) |
//! | `route`, `stage` | by the names their owners gave them | not named |
//! | `status` | of the answer's head | no head was handed on |
//! | `grpc_status` | the number in the trailers, or in the head of a trailers-only answer | no such field |
//! | `refusal` | slug of the refusal, if one of the layers refused | none |
//! | `limit` | name of the limit that refused it | none did |
//! | `limit_shadow` | name of the first limit that would have, were it not in shadow | none would |
//! | `cache` | how a cache had part in the answer: `hit`, `miss`, `collapsed` (shared with a request that had gone before), `bypass` | no cache was asked |
//! | `outcome` | `complete`; `trailers`: complete, with trailers; `error`: the service or the body failed, or panicked; `cancelled`: dropped before its end, by a caller that left | |
//! | `bytes_in` | of the request's body, as far as it was read | |
//! | `bytes_out` | of the answer's body, as far as it was handed on | |
//! | `head_us` | microseconds to the answer's head | no head |
//! | `first_byte_us` | microseconds to the first byte of the body | no byte |
//! | `total_us` | microseconds to the end | |
//! | `upstream` | origin that the request was sent to | not sent |
//! | `upstream_status` | of its last answer | no answer |
//! | `attempts` | calls of the upstream | none |
//! | `model` | that the request asked for | not known |
//! | `model_target` | model and provider that it reaches, as the model rules judged it | not judged |
//! | `usage` | `prompt_tokens`, `completion_tokens`, `total_tokens`, as the upstream counts them | not said |
//! | `stream_end` | of a stream of events or of JSON in lines: `done`, `failed`, `cut` | no such stream |
//!
//! A request that is cancelled before its head has no `status`: nobody was answered, so there is
//! none to invent. Never in a record: credentials, the query, bodies, claims.
//!
//! # Limits
//!
//! Strings other than the path are cut at 512 bytes. In a line of JSON and in events, controls are
//! escaped, those beyond ASCII included, and so are separators of lines and what reorders or hides
//! text (as bidirectional overrides do): no value can break or forge a line, or command a terminal.
//!
//! The upstream's token can only be in a record where a request repeats it, as its path or its
//! model. Such a string is written as `[redacted]`, if the layer has the token's
//! [`Scrubber`](crate::secret::Scrubber), as in a [`Stack`](crate::stack::Stack) it has.
//!
//! A path is written as it came: a service that puts secrets into paths logs them.
//!
//! What cannot be written is lost, and the loss is counted and told (see [`Sink`]); requests go on.
//! For a log that must be complete, use a [`RecordSink`] of your own, at the price of waiting.

mod batch;
mod body;
mod event;
mod future;
mod json;
mod layer;
mod record;
mod sink;

pub use self::{
    body::{RequestBody, ResponseBody},
    future::ResponseFuture,
    layer::{AccessLog, AccessLogLayer},
    record::{Record, RecordSink},
    sink::Sink,
};
