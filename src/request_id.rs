//! A request id that is set, sent on, given back and traced.
//!
//! [`RequestIdLayer`] gives each request an id and puts it
//!
//! - into the field `x-request-id` of the request, in place of whatever came,
//! - into the field `x-request-id` of the response, in place of what the inner service set,
//! - into the [`RequestContext`], where the layers further in read it,
//! - and into a `tracing` span, which the inner service, its future and its body run in: name
//!   `request`, level INFO, fields `request_id` and, when the request has a legal `traceparent`
//!   (W3C Trace Context), `trace_id`.
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
//! // Nobody vouches for this peer, so its id is not taken over.
//! let request = Request::builder().header("x-request-id", "forged").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! let id = response.headers()["x-request-id"].to_str().unwrap();
//! assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'));
//! # }
//! ```
//!
//! # Which id
//!
//! One that the context has already stays: with two of these layers on a request, the inner one
//! does nothing. Otherwise an inbound id is kept when the peer is trusted
//! ([`RequestIdLayer::trust_inbound`]) and it is a single field of 1 to 128 characters out of
//! `A-Z a-z 0-9 . _ -`. All others get a UUIDv7 (RFC 9562 section 5.7).
//!
//! # Limits
//!
//! The ids of one layer and its clones sort by the time they were made, also when the clock is set
//! back. Those of two layers, or two machines, sort by the millisecond. An id says when it was
//! made, and is not a secret.
//!
//! A trace id is whatever the peer says it is. The layer reads `traceparent` and sends it on as it
//! came; it makes no trace of its own.

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
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters of the longest inbound id that is kept.
const LONGEST: usize = 128;

/// Gives each request an id. See the [module's documentation](self).
#[derive(Clone, Debug, Default)]
pub struct RequestIdLayer {
    trust: Trust,
    ids: Ids,
}

impl RequestIdLayer {
    /// A layer that trusts nobody's ids.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the ids of those peers for which `is_trusted` returns true: a load balancer that
    /// numbers requests itself. Whoever may choose ids can make the records of two requests look
    /// like those of one. Default: nobody.
    ///
    /// Asked only when there is a well-formed id to keep. What tells the peer is for the caller to
    /// know: an extension that the server put there (the peer's address, its certificate), or a
    /// field that the load balancer removes from what others send.
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

    /// Keeps everybody's ids. Gives up that an id stands for one request: any caller can repeat
    /// its own, or another's. For a service that only trusted peers can reach.
    #[must_use]
    pub fn dangerous_trust_all_peers(self) -> Self {
        self.trust_inbound(|_, _| true)
    }

    /// Reads the ids' time of day from `clock`. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.ids.clock = clock;
        self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner, trust: self.trust.clone(), ids: self.ids.clone() }
    }
}

/// The service of [`RequestIdLayer`].
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
    trust: Trust,
    ids: Ids,
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
        let context = RequestContext::ensure(request.extensions_mut());
        let Some(id) = self.choose(&context, &request) else {
            let inner = InSpan { inner: Some(self.inner.call(request)), span: Span::none() };
            return ResponseFuture { inner, id: None };
        };
        if let Some(trace) =
            single(request.headers(), &TRACEPARENT).and_then(TraceId::from_traceparent)
        {
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

impl<S> RequestId<S> {
    /// The id of `request`; `None` when another of these layers has done all that is to be done.
    fn choose<B>(&self, context: &RequestContext, request: &Request<B>) -> Option<HeaderValue> {
        let inbound = single(request.headers(), &X_REQUEST_ID);
        if let Some(known) = context.request_id() {
            let done = inbound.is_some_and(|inbound| inbound == known);
            return if done { None } else { HeaderValue::from_str(known).ok() };
        }
        let kept = inbound.filter(|inbound| {
            well_formed(inbound) && self.trust.has(request.extensions(), request.headers())
        });
        Some(kept.and_then(owned).unwrap_or_else(|| self.ids.next()))
    }
}

/// The field, unless it came more than once: of two, nobody can say which is meant.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    fields.next().filter(|_| fields.next().is_none())
}

fn well_formed(id: &HeaderValue) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// A copy, as a record may outlive the request: the value is a slice of what the connection has read,
/// and would keep all of that.
fn owned(id: &HeaderValue) -> Option<HeaderValue> {
    let mut copy = Copied { bytes: [0; LONGEST], length: id.len() };
    copy.bytes.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from_owner(copy)).ok()
}

/// An id with its length: one allocation, where a copy that is cloned takes two.
struct Copied {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Whose ids are kept.
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

/// Makes ids, each later than the one before. Clones go on where the others are.
#[derive(Clone, Debug, Default)]
struct Ids {
    clock: SharedClock,
    // A counter that starts at random in each millisecond, and a time that never goes back.
    sequence: Arc<Lock<ContextV7>>,
}

impl Ids {
    #[expect(clippy::expect_used, reason = "a UUID's digits and dashes are legal in a field")]
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
        // `None` when there is nothing to do.
        id: Option<HeaderValue>,
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
    /// The inner service's body, which runs in the request's span. Its frames are untouched.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: InSpan<B>,
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
    /// What is polled in a span and, because a request that is cancelled logs as well, dropped in
    /// it.
    #[derive(Debug)]
    struct InSpan<T> {
        // Empty only while it is dropped.
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
