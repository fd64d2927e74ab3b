//! Deadlines and a load limit for calls of an upstream; the client's errors become responses.
//!
//! [`UpstreamLayer`] is the one layer that is infallible over a service that is not: outside it
//! there are only responses.
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
//! let upstream = UpstreamLayer::new().in_flight(64).layer(client);
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
//! | [`head_timeout`](UpstreamLayer::head_timeout) | call | head of the answer, connecting included | 5 min |
//! | [`first_byte_timeout`](UpstreamLayer::first_byte_timeout) | head | first byte of the body | 5 min |
//! | [`idle_timeout`](UpstreamLayer::idle_timeout) | bytes | next bytes, trailers or end | 5 min |
//! | [`total_timeout`](UpstreamLayer::total_timeout) | call | end of the body | 15 min |
//!
//! A deadline that passes before the head is a 504; afterwards it is a [`BodyError`], which makes a
//! server break the connection off, so that nobody takes half an answer for a whole one. Either way
//! the client's future or body is dropped on the spot, and with it its connection to the upstream.
//!
//! The two deadlines between head and end run only while someone waits: from the first poll that
//! finds nothing, to bytes. The time that a slow reader spends without polling does not count, and
//! bytes that have arrived meanwhile are handed on even when the deadline has passed. Empty frames
//! are not bytes. The total includes the time of slow readers.
//!
//! # Slots
//!
//! A request takes one of [`in_flight`](UpstreamLayer::in_flight) slots, from the call to the end of
//! the response's body. One caller cannot take them all: beyond its
//! [share](UpstreamLayer::caller_share), a quarter by default, a caller gets more only while a quarter
//! of all slots stays free. A caller is a principal. Without an identity it is the client's
//! [address](UpstreamLayer::peer_address), and a request with neither is held to no share. The slot of
//! a call that several requests share, below a cache, is that of the caller whose request made the
//! call, until the call ends.
//!
//! When all slots are taken, a request is refused with 503 `overloaded`. A caller beyond its share is
//! refused with 429 `throttled`: the gateway has slots, and this caller has too many of them. Load
//! balancers take servers out of service for 5xx, so a single caller must not cause 5xx at will. Both
//! have `retry-after: 1`. In the record, the limit of the latter is `caller-share`.
//!
//! # Fields
//!
//! Fields that belong to one connection (RFC 9110 section 7.6.1: `connection` and what it names,
//! `keep-alive`, `transfer-encoding`, `upgrade`, `proxy-*`, `te` other than `trailers`) are removed
//! in both directions, because this layer stands before every upstream, with a token or without.
//! `trailer` is kept: a server needs it to send trailers over HTTP/1.1. The answer's version is set
//! to HTTP/1.1, which servers take as "whatever this connection speaks". When an outer layer has
//! announced that it reads the answer, the upstream is asked for `accept-encoding: identity`.
//! Redirects pass as they are. An answer of 1xx, `101 Switching Protocols` above all, is a 502.
//!
//! # Limits
//!
//! - Load is shed only over a service that is always ready, as hyper-util's client is: while the
//!   inner service is not ready neither is this one, and whoever waits for it holds no slot.
//! - Deadlines wait on tokio's timer. Outside a tokio runtime, or in one without its timer, a call
//!   that cannot be answered at its first poll panics, as the usual clients do.
//! - A body that nobody polls is not timed, and servers do not poll while the client does not read.
//!   `StalledReaderLayer`, outermost, cuts off such clients.
//! - Callers who work together are several callers: four of them may take all slots.
//! - The body holds its timer in itself, so that nothing is allocated for it, and is therefore not
//!   `Unpin`: who reads it by hand pins it first.
//! - A service that failed in `poll_ready` answers 502 to every call from then on. A clone asks the
//!   inner service anew.
//! - A failed call is logged at WARN by the kind of its I/O error and the name of its type. Its
//!   message is not: clients put URLs there.

mod body;
mod failure;
mod future;
mod slots;

use std::{
    convert::Infallible,
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub use self::{
    body::{BodyError, ResponseBody},
    future::ResponseFuture,
};
use self::{
    future::Call,
    slots::{Full, Settings, Slots},
};
use crate::{
    context::RequestContext,
    hop_by_hop,
    peer::PeerAddress,
    rejection::{Refusal, Rejection, RejectionFormat},
};

/// Deadlines and a load limit around a client. See the [module](self).
#[derive(Clone, Debug)]
pub struct UpstreamLayer {
    deadlines: Deadlines,
    slots: Arc<Slots>,
    rejections: RejectionFormat,
}

#[derive(Clone, Copy, Debug)]
struct Deadlines {
    head: Duration,
    first_byte: Duration,
    idle: Duration,
    total: Duration,
}

impl UpstreamLayer {
    /// The deadlines of the [module](self), and 1,024 requests in flight.
    #[must_use]
    pub fn new() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let deadlines = Deadlines {
            head: minutes(5),
            first_byte: minutes(5),
            idle: minutes(5),
            total: minutes(15),
        };
        let settings =
            Settings { max: 1_024, caller_share: 25, address: PeerAddress::connection() };
        Self { deadlines, slots: Slots::new(settings), rejections: RejectionFormat::default() }
    }

    /// Sets how long to wait for the head of the response, connecting included; then 504.
    ///
    /// Defaults to five minutes: a model that does not stream sends its head when it is done, and
    /// reasoning takes minutes. That is what API Gateway can be raised to. A client with less
    /// patience ends the call by leaving. [`Duration::MAX`] waits for ever.
    #[must_use]
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines.head = timeout;
        self
    }

    /// Sets how long to wait, after the head, for the first byte of the body.
    ///
    /// Defaults to five minutes: a server that streams sends its head at once, and its first token
    /// after the queue, the prompt and the reasoning that is not shown. [`Duration::MAX`] waits for
    /// ever.
    #[must_use]
    pub const fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines.first_byte = timeout;
        self
    }

    /// Sets how long to wait for more of a body that has begun.
    ///
    /// Defaults to five minutes, as the first byte has. Reasoning models pause for more than a minute
    /// in the middle of a stream. vLLM sends nothing meanwhile unless `--sse-keep-alive-interval` is
    /// set, and llama.cpp sends comments since b9478 only. Envoy (`stream_idle_timeout`), streams of
    /// API Gateway and the `fetch` of Node (undici's `bodyTimeout`) wait five minutes too. nginx
    /// (`proxy_read_timeout`) waits one, and is raised for models. [`Duration::MAX`] waits for ever.
    ///
    /// A server that hangs keeps its slot for as long. Connections that are lost are found sooner, by
    /// the client's own keep-alive (HTTP/2 pings, TCP).
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines.idle = timeout;
        self
    }

    /// Sets how long the response may take from the call to the end of its body.
    ///
    /// Defaults to 15 minutes, as API Gateway allows a streamed response. [`Duration::MAX`] waits for
    /// ever.
    #[must_use]
    pub const fn total_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines.total = timeout;
        self
    }

    /// How many requests may be in flight, from the call to the end of the answer's body; one more
    /// is refused at once with 503 and `retry-after: 1`.
    ///
    /// 1,024 by default, over all services that this layer and its later clones make. Zero refuses
    /// everything.
    #[must_use]
    pub fn in_flight(mut self, max: usize) -> Self {
        self.slots = self.slots.set(|settings| settings.max = max);
        self
    }

    /// Sets how many of the [slots](Self::in_flight), in percent, one caller may take while less
    /// than a quarter of all slots is free.
    ///
    /// Defaults to 25. A caller may always take one. 100 holds nobody to a share: a gateway with one
    /// caller wants that, since it would leave a quarter of the slots unused. More than 100 is 100.
    #[must_use]
    pub fn caller_share(mut self, percent: u8) -> Self {
        self.slots = self.slots.set(|settings| settings.caller_share = percent);
        self
    }

    /// Sets where the address of a client is found, for requests without an identity.
    ///
    /// Defaults to [`PeerAddress::connection`]. Behind proxies, that is the address of a proxy for
    /// all clients: name the proxies with [`PeerAddress::behind`].
    #[must_use]
    pub fn peer_address(mut self, address: PeerAddress) -> Self {
        self.slots = self.slots.set(|settings| settings.address = address);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }
}

impl Default for UpstreamLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for UpstreamLayer {
    type Service = Upstream<S>;

    fn layer(&self, inner: S) -> Upstream<S> {
        Upstream { inner, layer: self.clone(), failed: false }
    }
}

/// The service of [`UpstreamLayer`].
#[derive(Debug)]
pub struct Upstream<S> {
    inner: S,
    layer: UpstreamLayer,
    failed: bool,
}

impl<S: Clone> Clone for Upstream<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone(), failed: false }
    }
}

impl<S, B, R> Service<Request<B>> for Upstream<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map(|ready| {
            if let Err(error) = ready {
                failure::warn("the upstream's client failed", error);
                self.failed = true;
            }
            Ok(())
        })
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future> {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.layer.rejections.for_request(&request);
        if self.failed {
            let rejection = Rejection::new(Refusal::UpstreamUnavailable);
            return ResponseFuture::refused(rejection, responder, context);
        }
        let caller = self.layer.slots.caller(&request, &context);
        let slot = match self.layer.slots.take(caller) {
            Ok(slot) => slot,
            Err(full) => {
                if full == Full::Share {
                    context.set_limited_by(Arc::from("caller-share"));
                }
                return ResponseFuture::refused(full.rejection(), responder, context);
            }
        };

        hop_by_hop::strip_connection_fields(request.headers_mut());
        if context.answer_is_read() {
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        context.add_attempt();
        let method = request.method().clone();
        let future = self.inner.call(request);
        let call = Call::new(future, self.layer.deadlines, method, slot);
        ResponseFuture::calling(call, responder, context)
    }
}

impl Full {
    fn rejection(self) -> Rejection {
        let rejection = match self {
            Self::Slots => Rejection::new(Refusal::Overloaded),
            Self::Share => Rejection::new(Refusal::Throttled)
                .with_detail("too many requests of this caller are in flight"),
        };
        rejection.with_retry_after(Duration::from_secs(1))
    }
}
