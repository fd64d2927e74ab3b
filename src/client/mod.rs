//! A ready HTTPS client, for upstreams and for fetching keys.
//!
//! A stack needs an HTTP client as its innermost service. Any tower service of HTTP requests will
//! do. [`HttpsClient`] is a good default: hyper's pooled client over rustls.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_inference::{client::HttpsClient, upstream::UpstreamLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = HttpsClient::builder().build_for::<Full<Bytes>>()?;
//! let upstream = ServiceBuilder::new().layer(UpstreamLayer::new()).service(client);
//!
//! // Plain http is for this machine; nothing listens on its port 1.
//! let request = Request::get("http://127.0.0.1:1/").body(Full::default())?;
//! assert_eq!(upstream.clone().oneshot(request).await?.status(), 502);
//! let request = Request::get("http://tgi.internal/").body(Full::default())?;
//! assert_eq!(upstream.oneshot(request).await?.status(), 502);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! The server chooses HTTP/2 or HTTP/1.1 by ALPN. TLS 1.3 and 1.2 come from aws-lc-rs whatever the
//! default provider of the process is. Certificates are checked against Mozilla's roots or against
//! [your own](Builder::root_certificates_pem). The client follows no redirect and keeps no cookie. It
//! reads no proxy from the environment.
//!
//! Requests over plain `http` stay on this machine unless the address was given with a permission:
//! [`Origin::dangerous_plain_http`](crate::hf::Origin::dangerous_plain_http) for an upstream,
//! [`RemoteKeys::dangerous_plain_http`](crate::auth::RemoteKeys::dangerous_plain_http) for keys. The
//! permission travels in the extensions of the request and holds for its address alone.
//! [`Builder::dangerous_plain_http`] allows all addresses.
//!
//! Requests for keys and introspection carry a limit on the addresses that they may reach: none that is
//! link-local, and for a host that only a discovery document names none that is private. The client
//! checks the addresses after it has resolved the name. These requests have pools of their own, whose
//! idle connections stay for 4 seconds, and are sent once.
//!
//! # The pool
//!
//! The client reuses connections and keeps at most 256 idle ones for each host. An idle connection
//! to an `http` upstream stays for 4 seconds. One to an `https` upstream stays for 50 seconds.
//! [`pool_idle_timeout`](Builder::pool_idle_timeout) changes both.
//!
//! The defaults are below the keep-alive times of common servers, so that this side closes first.
//! Uvicorn (vLLM and SGLang), hypercorn, llama.cpp and Node close after 5 seconds. AWS load balancers
//! close after 60 seconds and nginx after 75.
//!
//! # Retries
//!
//! A server may close a connection while the next request is on its way (RFC 9112 section 9.3.1).
//! The client then sends the request once more on a new connection. It does so only for a reused
//! connection:
//!
//! | what happened | which requests are sent again |
//! |---|---|
//! | nothing of the request was written | all requests. hyper's client does this itself |
//! | HTTP/2 said `REFUSED_STREAM` or a `GOAWAY` below the request's stream (RFC 9113 section 8.7) | requests with a buffered body that leave no state at the upstream |
//! | the connection ended without a byte of the response within [`retry_window`](Builder::retry_window) (1 second) | stateless inference with a buffered body and `GET` and `HEAD` |
//! | HTTP/2: the connection ended while the request waited for a stream | the same, at any time |
//!
//! A **buffered body** is a buffered [`Payload`](crate::payload::Payload), `Full<Bytes>` or
//! `Empty<Bytes>`. Over HTTP/2 the head of the response counts as its first byte because hyper's
//! client does not report interim responses.
//!
//! A request **leaves state** at the upstream in these cases:
//!
//! - The path has a segment `files` or `batches`, or it has escapes or dot segments.
//! - The JSON body has a member `store`, `background`, `conversation`, `container` or `mcp_servers`
//!   other than `false` or `null`.
//! - The request goes to the Responses API without `"store": false`.
//! - The body is JSON that cannot be read.
//!
//! **Stateless inference** is a `POST` of JSON to a [route](crate::model#routes) of OpenAI, TGI or
//! TEI, with or without a prefix that ends in `/v1`. `/models/{model}` of Hugging Face belongs to it.
//! The request leaves no state. No tool has a `type` other than `function` or `custom` because other
//! tools run at the upstream.
//!
//! The client sends no request a third time. It does not repeat a request that failed on a new
//! connection or after the first byte of its response. The second attempt counts in
//! [`Outcome::attempts`](crate::context::Outcome::attempts). A repetition by hyper's
//! client does not count because the upstream saw nothing of the first attempt.
//!
//! The client copies the head of a request with a buffered body and keeps it until the response
//! begins. The copy takes one allocation and one more for each header value with unshared bytes. The
//! bytes of the body are shared and live as long.
//!
//! # Limits
//!
//! - The client needs tokio with its I/O and timer. It spawns one task for each connection and the
//!   task ends with the connection. Each call boxes its future.
//! - The client has a timeout for connecting only. [`UpstreamLayer`](crate::upstream::UpstreamLayer)
//!   has the other deadlines.
//! - Two kinds of requests fail only at such a deadline. A router on the way may have forgotten the
//!   connection without closing it. Or hyper's client handed the request to the task of a connection
//!   just as that task ended on another thread: tokio's channel between the two may lose it. A pool
//!   idle timeout below the keep-alive time of the upstream avoids both.

mod again;
mod builder;
mod clients;
mod connector;
mod error;
mod future;
mod resolver;
mod sent_body;
mod service;
mod watched;

pub use self::{
    builder::{BuildError, Builder},
    error::{BodyError, Error},
    future::{ResponseBody, ResponseFuture},
    sent_body::SentBody,
    service::HttpsClient,
};
