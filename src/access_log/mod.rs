//! Writes one record of each request at its true end.
//!
//! An access log that is written with the head of the response misses how a stream ended and how
//! many bytes and tokens it took. [`AccessLogLayer`] writes the record when the last byte of the
//! response was passed on, when the body failed or when the client left. It writes exactly one
//! record of each request to one or more places:
//!
//! - a `tracing` event ([`AccessLogLayer::new`]) with target `tower_inference::access` and level INFO
//! - a line in one of several [formats](#formats) ([`AccessLogLayer::lines`]) into a [`Sink`], whose
//!   writer delays no request
//! - your own [`RecordSink`](crate::record::RecordSink) ([`AccessLogLayer::sink`])
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
//! as `principal.issuer`, and a list or the `values` as JSON. A member without a value is left out.
//!
//! | member | value | left out |
//! |---|---|---|
//! | `time` | arrival of the request: RFC 3339 in UTC with milliseconds | |
//! | `request_id` | id from `RequestIdLayer` | no id |
//! | `trace_id` | trace id of the header `traceparent` | none or an invalid one |
//! | `span_id`, `parent_span_id` | spans of the gateway and of the client | no trace or not [chosen](Format::more_fields) |
//! | `amzn_trace_id` | header `x-amzn-trace-id` of the client | none or not [chosen](Format::more_fields) |
//! | `principal` | the caller: `proof`, `issuer` and `subject` | not authenticated |
//! | `tenant` | tenant of the caller | no tenant |
//! | `credential_id` | public id of the credential, such as that of an API key | no id |
//! | `client_address` | address of the client | not [read](AccessLogLayer::client_address) |
//! | `method` | | |
//! | `path` | first 2,048 bytes without the query, which may hold secrets | |
//! | `http_version` | `1.1` or `2` | unless [chosen](Format::more_fields) |
//! | `user_agent` | | none or not [chosen](Format::more_fields) |
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
//! | `first_token_us` | microseconds to the first token of a stream | no stream |
//! | `upstream_us` | microseconds with upstreams, all attempts together | not sent |
//! | `total_us` | microseconds to the end | |
//! | `upstream` | origin that the request was sent to | not sent |
//! | `upstream_status` | status of the last attempt | no response |
//! | `upstream_request_id` | the upstream's own id of the last attempt | none |
//! | `attempts` | requests sent to the upstream | none |
//! | `attempt_list` | the first 16 attempts: `target`, `upstream`, `status`, `upstream_request_id`, `started_us`, `duration_us` and `abandoned`, the [reason](crate::context::AbandonReason) for another one | fewer than two |
//! | `model` | model that the request asked for | not known |
//! | `model_target` | model and provider that the request reaches | no model rules |
//! | `usage` | `prompt_tokens`, `completion_tokens`, `total_tokens`, `cached_tokens`, `cache_write_tokens` and `reasoning_tokens` as the upstream counts them | not reported |
//! | `stream_end` | end of a stream of events or of JSON lines: `done`, `failed` or `cut` | no such stream |
//! | `decisions` | decision of each [layer](crate::context::Layer) such as `auth=passed throttle=rejected` | unless [chosen](Format::more_fields) |
//! | `values` | what the program [added](crate::context::RequestContext::add_value) | nothing added |
//! | `sample_rate` | share of the requests that the record stands for | not [sampled](Sampling) |
//! | `prompt`, `completion` | bodies | unless [asked for](#privacy) |
//!
//! Credentials and queries are never in a record.
//!
//! # Formats
//!
//! A [`Format`] writes a record as a line. Its fields are chosen by name. An unknown name is an error when the
//! layer is built.
//!
//! | format | made for |
//! |---|---|
//! | [`Format::json`] | the members above |
//! | [`Format::api_gateway`] | queries over logs of API Gateway: its `$context` variables |
//! | [`Format::open_telemetry`] | collectors: attributes of the HTTP and GenAI conventions |
//! | [`Format::common`], [`Format::combined`] | analysers of web server logs |
//! | [`Format::emf`] | CloudWatch, which makes metrics of the lines |
//!
//! A layer takes several logs. Here CloudWatch gets metrics of all requests, and a file gets the user agent of
//! each rejected and one in ten other requests:
//!
//! ```
//! use std::io;
//! use tower_inference::access_log::{AccessLogLayer, Emf, Format, Lines, Sampling, Sink};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = io::sink();
//! let emf = Format::emf(Emf::new("Inference")?);
//! let json = Format::json().more_fields(["user_agent"])?;
//! let sampled = Lines::new(Sink::new(file)?, json).sampling(Sampling::new(0.1)?);
//! let layer = AccessLogLayer::lines(Sink::new(io::stdout())?, emf).and(sampled);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Files
//!
//! A [`Sink`] writes to any [`Write`](std::io::Write). Open a file in append mode, so that a restart keeps its
//! lines:
//!
//! ```no_run
//! use std::fs::OpenOptions;
//! use tower_inference::{
//!     access_log::{AccessLogLayer, Format, Sink},
//!     peer::PeerAddress,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = "/var/log/gateway/access.log";
//! let sink = Sink::new(OpenOptions::new().append(true).create(true).open(path)?)?;
//! let layer = AccessLogLayer::lines(sink.clone(), Format::common())
//!     .client_address(PeerAddress::connection());
//! # let _ = layer;
//! // When the server has stopped, before `main` returns:
//! if !sink.flush() {
//!     eprintln!("the last lines of {path} are not written");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - The last clone of a sink writes its queue when it is dropped. A clone in a global place is never dropped,
//!   such as that of a `tracing` subscriber. Nor does `std::process::exit` drop one. [`Sink::flush`] serves both.
//! - In append mode `copytruncate` of logrotate works.
//! - A tool that renames the file needs a writer that opens the path again. The example `gateway` has one for
//!   SIGHUP in `examples/gateway/log.rs`.
//!
//! # Privacy
//!
//! A log shows no prompt and no completion unless its format [asks](Format::prompts) for
//! [them](Format::completions). It then shows the first bytes and says how many were cut, or a pseudonym. A body
//! is recorded as it passes: the request before any layer edits it, and a streamed response with its events. A
//! coded body and a binary one have a length and no text.
//!
//! [`Format::pseudonyms`] writes pseudonyms in place of the caller's names. Each log of a layer has settings of
//! its own, so an audit trail beside it still names the caller.
//!
//! ```
//! use std::io;
//! use tower_inference::{
//!     access_log::{AccessLogLayer, Content, Format, Pseudonyms, Sink},
//!     secret::Secret,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pseudonyms = Pseudonyms::new(&Secret::new("32 bytes of `openssl rand -base64 32`"))?;
//! let format = Format::json()
//!     .pseudonyms(pseudonyms.clone())
//!     .prompts(Content::pseudonym(pseudonyms))
//!     .completions(Content::truncated(200));
//! let layer = AccessLogLayer::lines(Sink::new(io::stdout())?, format);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Outcomes
//!
//! [`RequestOutcome`](crate::record::RequestOutcome) has the meaning of each. A response that a client
//! takes to its end is `complete` also when its status is 404. A stream whose end mark is missing is
//! an `upstream_error`, though its status is 200.
//!
//! A request that is cancelled before its head has no `status`.
//!
//! # Spans
//!
//! [`AccessLogLayer::spans`] opens `tracing` spans for the calls of a request to upstreams, with the fields
//! that `tracing-opentelemetry` reads. One client span covers all attempts of a request of inference. It
//! begins with the first attempt and ends with the record, of which it is a rendering. A rejection and a
//! hit of the cache have none. Each attempt has a span below it.
//!
//! | span | target | name | fields |
//! |---|---|---|---|
//! | calls | `tower_inference::gen_ai` | `{operation} {model}` | `otel.kind` (`client`), `otel.status_code`, `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.request.stream`, `gen_ai.response.time_to_first_chunk` in seconds, `gen_ai.response.id`, `gen_ai.response.model`, `gen_ai.response.finish_reasons` (with commas between them), `gen_ai.usage.*`, `server.address`, `server.port`, `error.type` |
//! | attempt | `tower_inference::attempt` | the method | `otel.kind` (`client`), `otel.status_code`, `http.request.method`, `http.request.resend_count`, `http.response.status_code`, `server.address`, `server.port`, `error.type`, `tower_inference.target`, `tower_inference.upstream_request_id` |
//!
//! The names are those of a version of the
//! [conventions](crate::record::GenAiConventions). `gen_ai.provider.name` is the
//! [provider](crate::record::Record::provider) of the record. The id, the model and the finish reasons of the
//! response are read from its first and last 2 KiB, and only while somebody listens. `error.type` is the status of the upstream, or else the slug of the
//! rejection, the [outcome](#outcomes) or the reason to abandon the attempt. Prompts, completions and
//! credentials are in no span.
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
//! - Every format and events escape control characters and line separators. They escape characters that
//!   reorder or hide text too. No value can forge a line or control a terminal.
//! - A request can repeat the upstream's token as its path or its model. The layer writes `[redacted]`
//!   for such a string if it has the token's [`Scrubber`](crate::secret::Scrubber). In a
//!   [`Stack`](crate::stack::Stack) it has.
//! - The shown text of a body ends earlier when the cut could divide a secret of a scrubber.
//! - The path is recorded as it came. A service with secrets in paths logs them.
//! - A record that cannot be written is lost. [`Sink`] counts and reports the loss and requests go on.
//!   For a log that must be complete add `audit::AuditLog`, which rejects requests while it cannot write.

mod batch;
mod body;
mod content;
mod event;
mod format;
mod future;
mod layer;
mod lines;
mod loss;
mod open_record;
mod prompt;
mod pseudonyms;
mod queue;
mod sampling;
mod settings;
mod sink;

pub use self::{
    body::{RequestBody, ResponseBody},
    content::Content,
    event::Events,
    format::{Dimension, Emf, EmfError, Format, FormatError, Unit},
    future::ResponseFuture,
    layer::{AccessLog, AccessLogLayer},
    lines::Lines,
    pseudonyms::{PseudonymKeyError, Pseudonyms},
    sampling::{Sampling, SamplingError},
    sink::Sink,
};
