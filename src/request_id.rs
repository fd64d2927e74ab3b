//! Gives each request an id, so that logs and traces of several systems can be joined.
//!
//! [`RequestIdLayer`] puts the id
//!
//! - into the header `x-request-id` of the request, where it replaces the client's
//! - into the header `x-request-id` of the response, where it replaces the inner service's
//! - into the [`RequestContext`], where the layers further in read it
//! - into a `tracing` span named `request` at level INFO
//!
//! The inner service, its future and its body run in that span. Its fields are `request_id` and,
//! when the request has a valid `traceparent` (W3C Trace Context), `trace_id`.
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{context::RequestContext, request_id::RequestIdLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let service = RequestIdLayer::new().layer(service_fn(|request: Request<()>| async move {
//!     let id = RequestContext::of(request.extensions()).unwrap().request_id().unwrap();
//!     assert_eq!(request.headers()["x-request-id"], id);
//!     Ok::<_, Infallible>(Response::new(()))
//! }));
//!
//! // The peer is not trusted, so the layer makes a new id.
//! let request = Request::builder().header("x-request-id", "forged").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! let id = response.headers()["x-request-id"].to_str().unwrap();
//! assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'));
//! # }
//! ```
//!
//! # The choice of the id
//!
//! An id in the context stays. With two of these layers around a service, the inner one does
//! nothing. Otherwise the layer keeps an inbound id under two conditions:
//!
//! - the peer is trusted ([`RequestIdLayer::trust_inbound`])
//! - the id is a single header of 1 to 128 characters from `A-Z a-z 0-9 . _ -`
//!
//! Every other request gets a UUIDv7 (RFC 9562 section 5.7).
//!
//! # Place
//!
//! Outside of all layers that log, so that their events have the id.
//!
//! ```text
//! ServiceBuilder::new().layer(stalled_reader).layer(request_id).layer(access_log)  // the first is the outermost
//! Router::new().layer(access_log).layer(request_id).layer(stalled_reader)          // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! Ids of one layer and its clones sort by their time, even after the clock is set back. Ids of two
//! layers or two machines sort by the millisecond. An id reveals when it was made. It is not a
//! secret.
//!
//! The peer chooses the trace id. The layer reads `traceparent` and forwards it unchanged. It starts
//! no trace of its own.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    clock::SharedClock,
    context::{RequestContext, TraceId},
    lock::Lock,
    skip::Skip,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters of the longest inbound id that is kept.
const LONGEST: usize = 128;

/// A layer that gives each request an id. See the [module docs](self) for an example.
#[derive(Clone, Debug, Default)]
pub struct RequestIdLayer {
    trust: Trust,
    ids: Ids,
}

impl RequestIdLayer {
    /// Creates a layer that trusts no inbound id.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the inbound ids of peers for which `is_trusted` returns true.
    ///
    /// A load balancer that numbers requests itself is such a peer. A peer that may choose ids can
    /// make the records of two requests look like one. Defaults to no peer.
    ///
    /// The function runs only when a well-formed id is there. It recognises the peer by an extension
    /// that the server set, such as its address or certificate. It may also read a header that the
    /// load balancer removes from client requests.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use tower_inference::request_id::RequestIdLayer;
    ///
    /// let layer = RequestIdLayer::new().trust_inbound(|extensions, _headers| {
    ///     extensions.get::<SocketAddr>().is_some_and(|peer| peer.ip().is_loopback())
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn trust_inbound(
        mut self,
        is_trusted: impl Fn(&Extensions, &HeaderMap) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.trust = Trust(Some(Arc::new(is_trusted)));
        self
    }

    /// Keeps the inbound ids of all peers.
    ///
    /// An id then no longer identifies one request, because a client can repeat any id. Use it for a
    /// service that only trusted peers can reach.
    #[must_use]
    pub fn dangerous_trust_all_peers(self) -> Self {
        self.trust_inbound(|_, _| true)
    }

    /// Sets the clock of the ids. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.ids.clock = clock;
        self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner, trust: self.trust.clone(), ids: Some(self.ids.clone()) }
    }
}

impl<S> Skip<S> for RequestIdLayer {
    fn skip(inner: S) -> RequestId<S> {
        RequestId { inner, trust: Trust(None), ids: None }
    }
}

/// Middleware that gives each request an id.
///
/// [`RequestIdLayer`] has the settings.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
    trust: Trust,
    // `None` when disabled.
    ids: Option<Ids>,
}

impl<S> RequestId<S> {
    /// Wraps `inner` with the defaults of [`RequestIdLayer::new`].
    pub fn new(inner: S) -> Self {
        RequestIdLayer::new().layer(inner)
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(ids) = &self.ids else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let inbound = Inbound::of(request.headers());
        let Some(id) = choose(&self.trust, ids, &context, &request, inbound.request_id) else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        if let Some(trace) = inbound.traceparent.and_then(TraceId::from_traceparent) {
            context.set_trace_id(trace);
        }
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        context.set_request_id(id.clone());

        let span = tracing::info_span!(
            "request",
            request_id = context.request_id(),
            trace_id = context.trace_id().map(TraceId::as_str),
        );
        let inner = span.in_scope(|| self.inner.call(request));
        ResponseFuture { inner: InSpan { inner: Some(inner), span }, id: Some(id) }
    }
}

/// Returns the id of `request`, or `None` when an outer layer of this kind has set everything.
fn choose<B>(
    trust: &Trust,
    ids: &Ids,
    context: &RequestContext,
    request: &Request<B>,
    inbound: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    if let Some(known) = context.request_id() {
        let done = inbound.is_some_and(|inbound| inbound == known);
        return if done { None } else { HeaderValue::from_str(known).ok() };
    }
    let kept = inbound.filter(|inbound| {
        well_formed(inbound) && trust.has(request.extensions(), request.headers())
    });
    Some(kept.and_then(owned).unwrap_or_else(|| ids.next()))
}

/// The ids that a request came with.
#[derive(Default)]
struct Inbound<'a> {
    request_id: Option<&'a HeaderValue>,
    traceparent: Option<&'a HeaderValue>,
}

impl<'a> Inbound<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        // Most requests have neither, which one pass over the names shows.
        if !headers.keys().any(|name| *name == X_REQUEST_ID || *name == TRACEPARENT) {
            return Self::default();
        }
        Self {
            request_id: single(headers, &X_REQUEST_ID),
            traceparent: single(headers, &TRACEPARENT),
        }
    }
}

/// Returns the header. Returns `None` if it occurs more than once, because two values are ambiguous.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    fields.next().filter(|_| fields.next().is_none())
}

fn well_formed(id: &HeaderValue) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Copies an id. A header value is a slice of the connection's read buffer. A record may outlive the
/// request and would keep the whole buffer.
fn owned(id: &HeaderValue) -> Option<HeaderValue> {
    let mut copy = Copied { bytes: [0; LONGEST], length: id.len() };
    copy.bytes.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from_owner(copy)).ok()
}

/// An id with its length. It takes one allocation. A `Bytes` that is copied and cloned takes two.
struct Copied {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The peers whose ids are kept.
#[derive(Clone, Default)]
struct Trust(Option<Arc<IsTrusted>>);

type IsTrusted = dyn Fn(&Extensions, &HeaderMap) -> bool + Send + Sync;

impl Trust {
    fn has(&self, extensions: &Extensions, headers: &HeaderMap) -> bool {
        self.0.as_ref().is_some_and(|is_trusted| is_trusted(extensions, headers))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trust(..)" } else { "Trust(nobody)" })
    }
}

/// Makes ids in ascending order. Clones share the sequence.
#[derive(Clone, Debug, Default)]
struct Ids {
    clock: SharedClock,
    // A counter that starts at random in each millisecond, and a time that never goes back.
    sequence: Arc<Lock<ContextV7>>,
}

impl Ids {
    #[expect(clippy::expect_used, reason = "a UUID's digits and dashes are valid in a header")]
    fn next(&self) -> HeaderValue {
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp =
            Timestamp::from_unix(&*self.sequence.lock(), since.as_secs(), since.subsec_nanos());
        let mut id = [0; 36];
        Uuid::new_v7(timestamp).hyphenated().encode_lower(&mut id);
        // With an owner, because the first clone of `Bytes` made from a `Vec` allocates once more.
        HeaderValue::from_maybe_shared(Bytes::from_owner(id)).expect("visible ASCII")
    }
}

pin_project! {
    /// The future of [`RequestId`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InSpan<F>,
        // `None` when an outer layer sets the header.
        id: Option<HeaderValue>,
    }
}

impl<F> ResponseFuture<F> {
    const fn unchanged(inner: F) -> Self {
        Self { inner: InSpan { inner: Some(inner), span: Span::none() }, id: None }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner.project();
        let _entered = inner.span.enter();
        let Some(future) = inner.inner.as_pin_mut() else { return Poll::Pending };
        let mut response = ready!(future.poll(cx))?;
        if let Some(id) = this.id.take() {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody {
            inner: InSpan { inner: Some(body), span: inner.span.clone() },
        })))
    }
}

pin_project! {
    /// The body of the inner service, run in the request's span. It passes frames unchanged.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: InSpan<B>,
    }
}

/// An empty body.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: InSpan { inner: Some(B::default()), span: Span::none() } }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let inner = self.project().inner.project();
        let _entered = inner.span.enter();
        inner.inner.as_pin_mut().map_or(Poll::Ready(None), |body| body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

pin_project! {
    /// A value that is polled in a span. It is dropped in it too, because a cancelled request may
    /// log.
    #[derive(Debug)]
    struct InSpan<T> {
        // `None` only during drop.
        #[pin]
        inner: Option<T>,
        span: Span,
    }

    impl<T> PinnedDrop for InSpan<T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.enter();
            this.inner.set(None);
        }
    }
}
