//! Middleware that bounds the calls of an upstream and turns the errors of an HTTP client into
//! responses.
//!
//! An upstream that hangs must not occupy connections and callers for ever. One busy caller must not
//! take the capacity of all others. [`UpstreamLayer`] wraps the HTTP client with deadlines
//! and a limit on requests in flight. The service outside of it has no errors, only responses.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::io;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::upstream::UpstreamLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let client = service_fn(|request: Request<Full<Bytes>>| async move {
//!     match request.uri().path() {
//!         "/v1/models" => Ok(Response::new(Full::from("[]"))),
//!         _ => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
//!     }
//! });
//! let upstream = UpstreamLayer::new().max_in_flight(64).layer(client);
//!
//! let mut request = Request::new(Full::default());
//! *request.uri_mut() = "/v1/models".parse().unwrap();
//! let response = upstream.clone().oneshot(request).await.unwrap();
//! assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "[]");
//!
//! let response = upstream.oneshot(Request::new(Full::default())).await.unwrap();
//! assert_eq!(response.status(), 502);
//! # }
//! ```
//!
//! # Deadlines
//!
//! | deadline | from | to | default |
//! |---|---|---|---|
//! | [`queue_timeout`](UpstreamLayer::queue_timeout) | request | slot | 30 s |
//! | [`head_timeout`](UpstreamLayer::head_timeout) | request | head of the response, connecting included | 5 min |
//! | [`first_byte_timeout`](UpstreamLayer::first_byte_timeout) | head | first byte of the body | 5 min |
//! | [`idle_timeout`](UpstreamLayer::idle_timeout) | bytes | next bytes, trailers or end | 5 min |
//! | [`total_timeout`](UpstreamLayer::total_timeout) | request | end of the body | 15 min |
//!
//! A deadline that passes before the head is a 504 `upstream-timeout`. A later one is a [`BodyError`]. It makes the server
//! close the connection, so that no client takes a part for the whole response. In both cases the
//! layer drops the future or the body of the HTTP client at once, which closes the connection to the
//! upstream.
//!
//! The first-byte and idle deadlines run only while a reader waits: from the first poll without
//! data to the next bytes. The time that a slow reader spends between polls does not count. Bytes
//! that arrived in time are delivered even when the deadline has passed since. An empty frame
//! counts as no bytes. The total includes the time of slow readers.
//!
//! # Slots
//!
//! A request takes one of [`max_in_flight`](UpstreamLayer::max_in_flight) slots from the call to the
//! end of the response body. One caller cannot take all of them. A caller beyond its
//! [share](UpstreamLayer::caller_share), a quarter by default, gets more only while a quarter of all
//! slots stays free. A caller is a principal or, without an identity, the client's
//! [address](UpstreamLayer::peer_address). A request with neither has no share. The slot of a shared
//! call below a cache counts for the caller whose request started the call.
//!
//! When all slots are taken, a request is rejected with 503 `overloaded`. A caller beyond its share is
//! rejected with 429 `throttled` and the limit `caller-share` in the access log. The status differs
//! because load balancers take a server out of service for 5xx, which one caller must not be able to
//! cause. Both have `retry-after: 1`.
//!
//! # Queue
//!
//! [`max_queued`](UpstreamLayer::max_queued) lets requests wait for a slot instead:
//!
//! - The requests of one caller keep their order. Callers take turns, so that a caller with one request
//!   waits for one request of each other caller at most.
//! - A caller beyond its share of the queue gets more places only while a quarter of all places stays
//!   free. Beyond that it is rejected with 429.
//! - A request waits until [`queue_timeout`](UpstreamLayer::queue_timeout) at most. The head timeout and
//!   the total timeout start with the wait. They may end the wait sooner.
//! - A request that finds the queue full is rejected at once with 503 `overloaded`.
//! - A request that waited in vain is rejected as one without a queue: with 503 if all slots are taken at
//!   the end of its wait, and with 429 if the free ones are beyond the share of its caller.
//! - A client that leaves gives up its place.
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | the upstream cannot be reached or the HTTP client fails | 502 `upstream-unavailable` |
//! | the upstream sends 1xx, such as `101 Switching Protocols`, as its response | 502 `upstream-unavailable` |
//! | the head of the upstream's response is larger than 16 KiB | 502 `invalid-upstream-response` |
//! | no head within the head timeout or the total timeout | 504 `upstream-timeout` |
//! | all slots and all places in the queue are taken | 503 `overloaded`, `retry-after: 1` |
//! | no slot within the queue timeout, and all are taken | 503 `overloaded`, `retry-after: 1` |
//! | the caller is beyond its share, also after a wait | 429 `throttled`, `retry-after: 1` |
//!
//! # Busy and cold upstreams
//!
//! A 429 or 503 of the upstream gets a `retry-after` that every client reads: whole seconds, rounded up
//! and at most [`max_retry_after`](UpstreamLayer::max_retry_after), 60 seconds by default. The layer
//! takes the first wait that it can read:
//!
//! | source | form | sent by |
//! |---|---|---|
//! | `retry-after-ms` | milliseconds | Azure OpenAI |
//! | `retry-after` | seconds, also with a fraction, or a date (RFC 9110 section 10.2.3) | OpenAI, Anthropic, Groq, proxies |
//! | `x-ratelimit-reset-requests`, `-tokens` (429) | `6m0s`, `7.66s`, `12ms`, seconds | OpenAI, Groq, Azure OpenAI |
//! | `anthropic-ratelimit-*-reset` (429) | time of RFC 3339 | Anthropic |
//! | `x-ratelimit-reset`, `ratelimit-reset` (429) | seconds, or a time since 1970-01-01 in seconds or milliseconds | OpenRouter and others |
//! | `ratelimit` with `t=` (429) | seconds | the Hub of Hugging Face |
//! | `estimated_time` in a JSON body (503) | seconds | the serverless API of Hugging Face |
//! | none, and the model is loading (503) | 10 seconds | llama.cpp, Inference Endpoints |
//!
//! If several rate limits are used up, the one that resets last counts. If none is used up, the one that
//! resets first counts. A date is relative to the `date` of the response. A value that
//! is no wait is ignored: NaN, infinity, a negative number, other text. Without a wait the response has
//! no `retry-after`, as those of TGI and TEI, and the client uses its own backoff. A `retry-after-ms` is
//! removed if it asks for a longer wait. Nothing else of the response changes.
//!
//! The layer reads up to 16 KiB of some bodies before it passes the head on. It waits for 2 seconds at
//! most and passes the body on byte for byte:
//!
//! | response without a content coding | read for |
//! |---|---|
//! | 503 in JSON | `estimated_time`, and whether the model is loading |
//! | any 503 of a dedicated Inference Endpoint | the same, and whether the endpoint is paused |
//! | any 400 of a dedicated Inference Endpoint | whether the endpoint is paused |
//!
//! A dedicated Inference Endpoint (`*.endpoints.huggingface.cloud`) that is **paused** looks like one
//! that is **scaled to zero**:
//!
//! | endpoint | response | source | waiting |
//! |---|---|---|---|
//! | scales up from zero | 503 | [documented](https://huggingface.co/docs/inference-endpoints/guides/autoscaling) | helps, for minutes at times |
//! | scales up from zero | 502 | reported in huggingface_hub#1605 | helps |
//! | paused | 400 `Bad Request: Invalid state`, or a message that begins by calling the endpoint paused | reported in elastic/elasticsearch#112033 | does not help |
//!
//! The layer logs a paused endpoint, because somebody has to resume it. `X-Scale-Up-Timeout: 600`
//! makes the proxy of the endpoint keep the request until a replica is ready. Set it with
//! `TransformLayer` and raise [`head_timeout`](UpstreamLayer::head_timeout) to the same time.
//!
//! # Headers
//!
//! The layer removes hop-by-hop headers in both directions (RFC 9110 section 7.6.1):
//!
//! - `connection` and the headers that it names
//! - `keep-alive`, `transfer-encoding`, `upgrade`, `http2-settings` and `proxy-*`
//! - a `te` other than `trailers`
//!
//! `trailer` stays because a server needs it to send trailers over HTTP/1.1.
//!
//! The version of a response is set to HTTP/1.1, which a server takes as the version of its own
//! connection. When an outer layer reads the response, the request gets `accept-encoding: identity`.
//! Redirects pass unchanged.
//!
//! # Place
//!
//! Inside of the layers above. Outside of the token and of the client, whose errors become responses here.
//!
//! ```text
//! ServiceBuilder::new().layer(token_budget).layer(upstream).layer(hf_token).service(client)  // the first is the outermost
//! Router::new().fallback_service(built)                                                      // around the client
//! ```
//!
//! # Caveats
//!
//! - The layer sheds load only over a service that is always ready, as hyper-util's client is. While
//!   the inner service is not ready this service is not ready either. Requests that wait for it have
//!   no slot.
//! - Deadlines need tokio's timer. Without one, a call that has to wait panics, as it does in the
//!   usual HTTP clients.
//! - A body that nobody polls has no deadline, and servers do not poll while the client does not
//!   read. Put `StalledReaderLayer` outermost to cut off such clients.
//! - Callers that cooperate count as several callers. Four of them may take all slots.
//! - The body contains its timer to save an allocation, so it is not `Unpin`. Pin it to poll it by
//!   hand.
//! - After a failed `poll_ready` a service responds with 502 to every request. A clone of it asks the
//!   inner service again.
//! - Clients set the rate of the events that their requests cause. Such an event is WARN once a minute for
//!   each upstream and DEBUG otherwise. The access log has each request.
//! - The event of a failed call has the kind of the I/O error. With the client of this crate it has
//!   the likely reason. With another client it has the type of the error, because HTTP clients put
//!   URLs into their messages.

mod body;
mod busy;
mod call;
mod deadlines;
mod failure;
mod future;
mod layer;
mod peek;
mod queued;
mod service;
mod settings;
mod slots;
#[cfg(test)]
mod tests;

pub use self::{
    body::{BodyError, ResponseBody},
    future::ResponseFuture,
    layer::UpstreamLayer,
    service::Upstream,
};
