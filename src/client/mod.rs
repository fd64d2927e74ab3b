//! A ready HTTPS client, for upstreams and for fetching keys.
//!
//! Any tower service of HTTP requests will do as the innermost service of a stack; [`HttpsClient`]
//! is the one to take when there is no reason for another: hyper's pooled client over rustls.
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
//! let client: HttpsClient<Full<Bytes>> = HttpsClient::builder().build()?;
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
//! HTTP/2 or HTTP/1.1 as the server chooses by ALPN, TLS 1.3 or 1.2 by aws-lc-rs, whatever the
//! process's default provider is. Certificates are checked against Mozilla's roots, or against
//! [your own](Builder::root_certificates_pem). It follows no redirect, reads no proxy from the
//! environment, keeps no cookie.
//!
//! # The pool
//!
//! Connections are reused, at most 256 idle ones a host. An idle connection is kept for 4 seconds
//! when the upstream is `http`, and for 50 seconds when it is `https`;
//! [`pool_idle_timeout`](Builder::pool_idle_timeout) changes both. The defaults are below the
//! keep-alive times of the usual servers, so that this side closes first: uvicorn (vLLM, SGLang),
//! hypercorn, llama.cpp and Node close after 5 seconds, load balancers of AWS after 60, nginx after
//! 75.
//!
//! # Retries
//!
//! A server may close a connection at any time, also at the moment at which the next request is on
//! its way (RFC 9112 section 9.3.1). The client sends a request once more, on a new connection,
//! when the connection was a reused one and:
//!
//! | what happened | which requests are sent again |
//! |---|---|
//! | the connection ended before its task took the request, of which nothing was written | all, by hyper's client itself |
//! | HTTP/2 answered with `REFUSED_STREAM`, or with a `GOAWAY` whose last stream is below the request's (RFC 9113 section 8.7) | those with a buffered body, unless the upstream keeps state of them |
//! | the connection ended before a byte of the response, within [`retry_window`](Builder::retry_window) (1 second) of the call | those with a buffered body to a stateless inference route; `GET` and `HEAD` |
//! | HTTP/2: the connection ended while the request waited for a stream | the same, at any time |
//!
//! **Buffered** are a buffered [`Payload`](crate::payload::Payload), `Full<Bytes>` and
//! `Empty<Bytes>`. Over HTTP/2, the head of the response is its first byte: hyper's client does not
//! tell of interim responses.
//!
//! **An upstream keeps state** of a request whose path has a segment `files` or `batches` or is not
//! plain, of a JSON body with a member `store`, `background`, `conversation`, `container` or
//! `mcp_servers` (other than `false` or `null`), of a Responses request without `"store": false`,
//! and perhaps of JSON that cannot be read.
//!
//! **Stateless inference** is a `POST` of JSON to a [route](crate::model#routes) of OpenAI, TGI or
//! TEI, also below a prefix that ends in `/v1`, or to `/models/{model}` of Hugging Face. No state is
//! kept, and no tool has a `type` other than `function` or `custom`: other tools run at the upstream.
//!
//! A request that failed on a new connection, or after the first byte of its response, is not sent
//! again; nor is a second attempt. The second attempt is counted in
//! [`RequestContext::attempts`](crate::context::RequestContext::attempts); what hyper's client does
//! by itself is not, since the upstream saw nothing of the first.
//!
//! To send a request again, the client keeps a copy of each head with a buffered body until the
//! response begins. The copy is one allocation, and one more for each field value whose bytes were
//! not shared before. The body's bytes are shared, and live as long.
//!
//! # Limits
//!
//! - The client needs tokio with its I/O and timer, and spawns one task for each connection there,
//!   which ends with the connection. Each call boxes its future.
//! - Beyond connecting it has no deadline: [`UpstreamLayer`](crate::upstream::UpstreamLayer) has
//!   them. Two kinds of requests wait until such a deadline passes: one on a connection that a
//!   router on the way has forgotten, which does not close; and one that hyper's client gave to the
//!   task of a connection in the instant in which the task ended on another thread. The channel of
//!   tokio between the two may lose that request. An idle time below that of the upstream avoids
//!   both.

mod again;
mod buffered;
mod builder;
mod clients;
mod connector;
mod error;
mod future;
mod repeatable;
mod service;
mod watched;

pub use self::{
    builder::{BuildError, Builder},
    error::{BodyError, Error},
    future::{ResponseBody, ResponseFuture},
    service::HttpsClient,
};
