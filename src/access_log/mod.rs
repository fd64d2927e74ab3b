//! Writes one record of each request at its true end.
//!
//! An access log that is written with the head of the response misses how a stream ended and how
//! many bytes and tokens it took. [`AccessLogLayer`] writes the record when the last byte of the
//! response was passed on, when the body failed or when the client left. It writes exactly one
//! record of each request in one of three forms:
//!
//! - a `tracing` event ([`AccessLogLayer::new`]) with target `tower_inference::access` and level INFO
//! - a line of JSON ([`AccessLogLayer::json`]) into a [`Sink`], whose writer delays no request
//! - your own format with a [`RecordSink`](crate::record::RecordSink) ([`AccessLogLayer::sink`])
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, Mutex}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     access_log::AccessLogLayer,
//!     record::{Record, RequestOutcome},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let lines = Arc::new(Mutex::new(Vec::new()));
//! let sink = Arc::clone(&lines);
//! let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
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
//! // The head is here but the body has not ended.
//! assert!(lines.lock().unwrap().is_empty());
//! response.into_body().collect().await.unwrap();
//! assert_eq!(
//!     *lines.lock().unwrap(),
//!     [("GET /v1/models 200 5".to_owned(), RequestOutcome::Complete)]
//! );
//! # }
//! ```
//!
//! # Members of a record
//!
//! A JSON line has these members in this order. An event has the same fields and writes nested ones
//! as `principal.issuer`. A member without a value is left out.
//!
//! | member | value | left out |
//! |---|---|---|
//! | `time` | arrival of the request: RFC 3339 in UTC with milliseconds | |
//! | `request_id` | id from `RequestIdLayer` | no id |
//! | `trace_id` | trace id of the header `traceparent` | none or an invalid one |
//! | `principal` | the caller: `proof`, `issuer` and `subject` | not authenticated |
//! | `tenant` | tenant of the caller | no tenant |
//! | `credential_id` | public id of the credential, such as that of an API key | no id |
//! | `method` | | |
//! | `path` | first 2,048 bytes without the query, which may hold secrets | |
//! | `http_version` | `1.1` or `2` | unless [enabled](AccessLogLayer::http_version) |
//! | `user_agent` | | none or not [enabled](AccessLogLayer::user_agent) |
//! | `route`, `stage` | names that the program gave | no name |
//! | `status` | status of the response | no head was passed on |
//! | `grpc_status` | number in the trailers or in the head of a trailers-only response | no such header |
//! | `refusal` | slug of the rejection | no layer rejected the request |
//! | `limit` | name of the limit that rejected the request | none did |
//! | `limit_shadow` | name of the first limit in shadow that would have rejected it | none would |
//! | `cache` | `hit`, `miss`, `collapsed` (shares the upstream call of an earlier request) or `bypass` | no cache |
//! | `outcome` | see [below](#outcomes) | |
//! | `bytes_in` | bytes read of the request body | |
//! | `bytes_out` | bytes passed on of the response body | |
//! | `head_us` | microseconds to the head of the response | no head |
//! | `first_byte_us` | microseconds to the first byte of the body | no byte |
//! | `total_us` | microseconds to the end | |
//! | `upstream` | origin that the request was sent to | not sent |
//! | `upstream_status` | status of the last attempt | no response |
//! | `attempts` | requests sent to the upstream | none |
//! | `model` | model that the request asked for | not known |
//! | `model_target` | model and provider that the request reaches | no model rules |
//! | `usage` | `prompt_tokens`, `completion_tokens` and `total_tokens` as the upstream counts them | not reported |
//! | `stream_end` | end of a stream of events or of JSON lines: `done`, `failed` or `cut` | no such stream |
//!
//! Credentials, queries, bodies and claims are never in a record.
//!
//! # Outcomes
//!
//! [`RequestOutcome`](crate::record::RequestOutcome) has the meaning of each. A response that a client
//! takes to its end is `complete` also when its status is 404. A stream whose end mark is missing is
//! an `upstream_error`, though its status is 200.
//!
//! A request that is cancelled before its head has no `status`.
//!
//! # Place
//!
//! Outside of all layers that reject, so that rejections have a record. Inside of the request id.
//!
//! ```text
//! ServiceBuilder::new().layer(request_id).layer(access_log).layer(auth)  // the first is the outermost
//! Router::new().layer(auth).layer(access_log).layer(request_id)          // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! - A string other than the path is cut at 512 bytes.
//! - JSON lines and events escape control characters and line separators. They escape characters that
//!   reorder or hide text too. No value can forge a line or control a terminal.
//! - A request can repeat the upstream's token as its path or its model. The layer writes `[redacted]`
//!   for such a string if it has the token's [`Scrubber`](crate::secret::Scrubber). In a
//!   [`Stack`](crate::stack::Stack) it has.
//! - The path is recorded as it came. A service with secrets in paths logs them.
//! - A record that cannot be written is lost. [`Sink`] counts and reports the loss and requests go on.
//!   For a log that must be complete use your own [`RecordSink`](crate::record::RecordSink) and accept the wait.

mod batch;
mod body;
mod event;
mod future;
mod json;
mod layer;
#[cfg(not(feature = "audit"))]
#[path = "no_digest.rs"]
mod open_digest;
#[cfg(feature = "audit")]
mod open_digest;
mod open_record;
mod queue;
mod settings;
mod sink;

pub use self::{
    body::{RequestBody, ResponseBody},
    future::ResponseFuture,
    layer::{AccessLog, AccessLogLayer},
    sink::Sink,
};
