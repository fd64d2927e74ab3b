use std::{
    any::Any,
    error::Error,
    mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Bounds, DocumentError, Payload, PayloadError,
    body::Buffered,
    coding::check_coding,
    decode::Coding,
    flow::{Flow, Limits},
    future::{Reading, Refused, ResponseFuture, set_framing},
    media::{Charset, charset_of_json, check_charset, only_json},
};
use crate::{
    body::{ResponseBody, content_length},
    context::RequestContext,
    memory_limit::{MemoryLimit, MemoryPermit},
    rejection::{Rejection, RejectionFormat},
};

/// Turns `Request<B>` into `Request<Payload>`, for any body `B`.
///
/// See the [module](super) for what is refused. One of three kinds, by the route's configuration
/// and never by what the request says of itself: [`new`](Self::new) expects JSON,
/// [`bytes`](Self::bytes) buffers whatever comes, [`streamed`](Self::streamed) lets it flow.
#[derive(Clone, Debug)]
pub struct PayloadLayer {
    mode: Mode,
    decompress: bool,
    limits: Limits,
    bounds: Bounds,
    memory: MemoryLimit,
    rejections: RejectionFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Json,
    Bytes,
    Streamed,
}

impl PayloadLayer {
    /// Expects JSON: the type must say so, and the document is read before the request goes on.
    ///
    /// A body may be absent when the method has no use for one: GET, HEAD, DELETE, OPTIONS, TRACE.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Mode::Json)
    }

    /// Buffers the body whatever its type. Its document is read when a layer asks for it; one of
    /// more than 256 KiB that begins as an array or object is read at once, in turns between which
    /// other tasks run.
    #[must_use]
    pub fn bytes() -> Self {
        Self::of(Mode::Bytes)
    }

    /// Lets the body flow past unread, of any type and coding.
    ///
    /// It is still held to the limit and the deadline, as far as it came: when it breaks one, the
    /// body that is on its way to the upstream fails with a [`PayloadError`](super::PayloadError).
    /// The upstream then sees a request that breaks off (a closed connection, in HTTP/2 a reset
    /// stream), never one that seems whole. The deadline counts from when the body is first waited
    /// for, and so holds the time that the upstream takes to read: raise it for long uploads.
    #[must_use]
    pub fn streamed() -> Self {
        Self::of(Mode::Streamed)
    }

    /// Takes bodies whose `content-encoding` is `gzip`, `br` or `zstd` too, and decodes them: by
    /// default they are refused with 415, as those of another coding still are.
    ///
    /// What is checked, and goes on, is the decoded body, as if it had never been coded: without
    /// the `content-encoding`, with its own `content-length`, and without the digests of the coded
    /// bytes (RFC 9530). A [`streamed`](Self::streamed) body is not decoded, and keeps its coding.
    /// See the [module](super#coded-bodies) for what it may cost.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use std::convert::Infallible;
    /// # use tower::{Layer, ServiceExt, service_fn};
    /// # use tower_inference::payload::{Payload, PayloadLayer};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let upstream = service_fn(|request: Request<Payload>| async move {
    ///     assert_eq!(request.body().bytes().unwrap(), r#"{"model": "m"}"#);
    ///     assert!(!request.headers().contains_key("content-encoding"));
    ///     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    /// });
    /// let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\
    ///     \xabV\xca\xcdOI\xcdQ\xb2RP\xcaU\xaa\x05\x00\xc1\x82\x93d\x0e\x00\x00\x00";
    /// let request = Request::post("/v1/chat/completions")
    ///     .header("content-type", "application/json")
    ///     .header("content-encoding", "gzip")
    ///     .body(Full::new(Bytes::from(&gzip[..])))
    ///     .unwrap();
    /// let answer = PayloadLayer::new().decompress().layer(upstream).oneshot(request).await.unwrap();
    /// assert_eq!(answer.status(), 200);
    /// # }
    /// ```
    #[cfg(feature = "decompression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "decompression")))]
    #[must_use]
    pub const fn decompress(mut self) -> Self {
        self.decompress = true;
        self
    }

    /// Sets how many bytes a body may have: 10 MiB by default, as in API Gateway. More is refused
    /// with 413: before a byte is read when `content-length` says so, else on the way. A coded body
    /// may have no more either before or after it is decoded.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Sets how long the whole body may take to arrive, from when it is first waited for: 30
    /// seconds by default. A slower one is refused with 408.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = deadline;
        self
    }

    /// Sets how many arrays and objects of the document may stand in one another: see
    /// [`Bounds::depth`].
    #[must_use]
    pub const fn depth(mut self, depth: u32) -> Self {
        self.bounds = self.bounds.depth(depth);
        self
    }

    /// Sets how many nodes the document may have: see [`Bounds::nodes`].
    #[must_use]
    pub const fn nodes(mut self, nodes: u32) -> Self {
        self.bounds = self.bounds.nodes(nodes);
        self
    }

    /// Sets the limit of memory that all bodies share while they are read, sent on and retained:
    /// 256 MiB by default, for this layer and its clones.
    ///
    /// Bodies are weighed with the nodes of their documents and the windows of their codings, as
    /// they arrive. A body that finds no room is refused with 503 `overloaded` and `retry-after`;
    /// small ones are [served first](crate::memory_limit#small-permits-are-served-first). A limit
    /// that several layers are given holds for all of them together. A
    /// [`streamed`](Self::streamed) body is not collected, and takes nothing.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory = limit;
        self
    }

    /// Sets the format of rejections.
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    fn of(mode: Mode) -> Self {
        Self {
            mode,
            decompress: false,
            limits: Limits { bytes: 10 * 1024 * 1024, deadline: Duration::from_secs(30) },
            bounds: Bounds::new(),
            memory: MemoryLimit::new(256 * 1024 * 1024),
            rejections: RejectionFormat::Problem,
        }
    }

    pub(super) const fn limit_in_bytes(&self) -> u64 {
        self.limits.bytes
    }

    pub(super) fn permit(&self) -> MemoryPermit {
        self.memory.permit()
    }

    /// Whether a document is to be read in turns before the request goes on. One that the layer
    /// does not ask for is, too, because a layer further in would read it in one go.
    pub(super) fn reads_in_turns(&self, buffered: &Buffered) -> bool {
        let begins = |bytes: &[u8]| matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        buffered.is_unread_beyond(TURN) && (self.mode == Mode::Json || begins(buffered.bytes()))
    }

    /// What the head alone decides.
    fn check_head<B: Body>(&self, parts: &Parts, body: &B) -> Result<Head, Rejection> {
        let said = content_length(&parts.headers).unwrap_or(0);
        let announced = said.max(body.size_hint().lower());
        if announced > self.limits.bytes {
            return Err(PayloadError::TooLarge(Some(self.limits.bytes)).rejection());
        }
        let coding = match self.mode {
            Mode::Json | Mode::Bytes => check_coding(&parts.headers, self.decompress)?,
            Mode::Streamed => None,
        };
        let charset = charset_of_json(&parts.headers);
        let mistyped = self.mode == Mode::Json && charset.is_none();
        if mistyped && (announced > 0 || !is_bodiless(&parts.method)) {
            return Err(only_json());
        }
        Ok(Head { announced, coding, mistyped, charset })
    }

    /// What only the whole body decides.
    pub(super) fn check_body(
        &self,
        buffered: &Arc<Buffered>,
        charset: Option<Charset>,
        method: &Method,
        context: &RequestContext,
    ) -> Result<(), Rejection> {
        check_charset(charset, buffered.bytes())?;
        if self.mode != Mode::Json {
            return Ok(());
        }
        let document = match buffered.document_within(self.bounds) {
            Ok(document) => document,
            Err(DocumentError::Empty) if is_bodiless(method) => return Ok(()),
            Err(error) => return Err(error.rejection()),
        };
        if context.model().is_none() {
            let model = document.root().get("model").and_then(|model| model.as_str());
            if let Some(model) = model.filter(|model| model.len() <= MAX_MODEL) {
                context.set_model(model);
            }
        }
        Ok(())
    }

    /// Makes a payload of what was read, whose weight `memory` has taken.
    pub(super) fn buffer(
        &self,
        bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
        memory: MemoryPermit,
        context: &RequestContext,
    ) -> Arc<Buffered> {
        let buffered = Arc::new(Buffered::new(bytes, trailers, self.bounds, Some(memory)));
        context.remember_payload(Arc::<Buffered>::downgrade(&buffered));
        buffered
    }
}

/// Bytes of a document that are read before others get their turn.
pub(super) const TURN: usize = 256 * 1024;

/// A longer model is nobody's name, and not noted.
const MAX_MODEL: usize = 256;

/// What the head says of the body.
pub(super) struct Head {
    /// At least as many bytes will come, if what it says is true.
    pub(super) announced: u64,
    /// What is to be taken off.
    pub(super) coding: Option<Coding>,
    /// The type is not JSON, which is refused if any byte comes: what is not there needs no type.
    pub(super) mistyped: bool,
    /// Of a type that is JSON.
    pub(super) charset: Option<Charset>,
}

/// Methods whose requests have no use for a body (RFC 9110 section 9.3).
pub(crate) fn is_bodiless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
}

impl Default for PayloadLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for PayloadLayer {
    type Service = BufferPayload<S>;

    fn layer(&self, inner: S) -> BufferPayload<S> {
        BufferPayload { inner, layer: self.clone() }
    }
}

/// Reads the body, and hands it on as a [`Payload`]. Made by [`PayloadLayer`].
#[derive(Clone, Debug)]
pub struct BufferPayload<S> {
    inner: S,
    layer: PayloadLayer,
}

impl<S, B, R> Service<Request<B>> for BufferPayload<S>
where
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<B, S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let layer = &self.layer;
        let responder = layer.rejections.for_request(&request);
        let (mut parts, body) = request.into_parts();
        let context = RequestContext::ensure(&mut parts.extensions);
        let refuse =
            |rejection| ResponseFuture::refused(Refused::new(rejection, responder, &context));

        let head = match layer.check_head(&parts, &body) {
            Ok(head) => head,
            Err(rejection) => return refuse(rejection),
        };
        let payload = if layer.mode == Mode::Streamed {
            let mut payload = Payload::streamed(body);
            payload.bind(layer.limits, &context);
            payload
        } else {
            let own = (&body as &dyn Any).downcast_ref().and_then(Payload::shared);
            let plain = head.coding.is_none();
            let buffered = match own {
                Some(own) if plain && !layer.reads_in_turns(own) => own.clone(),
                None if plain && body.is_end_stream() => {
                    layer.buffer(Bytes::new(), None, layer.permit(), &context)
                }
                _ => {
                    // https://docs.rs/tower-service/latest/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                    let clone = self.inner.clone();
                    let inner = mem::replace(&mut self.inner, clone);
                    let body = Flow::new(body, layer.limits, Some(context.clone()));
                    let layer = layer.clone();
                    let reading = Reading::new(inner, layer, parts, context, responder, head);
                    return ResponseFuture::reading(body, reading);
                }
            };
            let checked = layer.check_body(&buffered, head.charset, &parts.method, &context);
            if let Err(rejection) = checked {
                return refuse(rejection);
            }
            set_framing(&mut parts.headers, &buffered);
            Payload::of(buffered)
        };
        ResponseFuture::calling(self.inner.call(Request::from_parts(parts, payload)))
    }
}
