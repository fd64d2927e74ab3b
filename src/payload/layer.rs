use std::time::Duration;

use tower_layer::Layer;

use super::{
    body::bounded::BodyLimits,
    json::bounds::DocumentBounds,
    read::settings::{ReadMode, ReadSettings},
    service::BufferPayload,
};
use crate::{memory_limit::MemoryLimit, rejection::RejectionFormat};

/// Turns `Request<B>` into `Request<Payload>`, for any body `B`.
///
/// See the [module](super) for what is refused. One of three kinds, by the route's configuration
/// and never by what the request says of itself: [`new`](Self::new) expects JSON,
/// [`bytes`](Self::bytes) buffers whatever comes, [`streamed`](Self::streamed) lets it flow.
#[derive(Clone, Debug)]
pub struct PayloadLayer {
    settings: ReadSettings,
    rejections: RejectionFormat,
}

impl PayloadLayer {
    /// Expects JSON: the type must say so, and the document is read before the request goes on.
    ///
    /// A body may be absent when the method has no use for one: GET, HEAD, DELETE, OPTIONS, TRACE.
    #[must_use]
    pub fn new() -> Self {
        Self::of(ReadMode::Json)
    }

    /// Buffers the body whatever its type. Its document is read when a layer asks for it; one of
    /// more than 256 KiB that begins as an array or object is read at once, in turns between which
    /// other tasks run.
    #[must_use]
    pub fn bytes() -> Self {
        Self::of(ReadMode::Bytes)
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
        Self::of(ReadMode::Streamed)
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
        self.settings.decompress = true;
        self
    }

    /// Sets how many bytes a body may have: 10 MiB by default, as in API Gateway. More is refused
    /// with 413: before a byte is read when `content-length` says so, else on the way. A coded body
    /// may have no more either before or after it is decoded.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.limits.max_bytes = bytes;
        self
    }

    /// Sets how long the whole body may take to arrive, from when it is first waited for: 30
    /// seconds by default. A slower one is refused with 408.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.timeout = timeout;
        self
    }

    /// Sets how many arrays and objects of the document may stand in one another: see
    /// [`DocumentBounds::max_depth`].
    #[must_use]
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.settings.bounds = self.settings.bounds.max_depth(depth);
        self
    }

    /// Sets how many nodes the document may have: see [`DocumentBounds::max_values`].
    #[must_use]
    pub const fn max_values(mut self, values: u32) -> Self {
        self.settings.bounds = self.settings.bounds.max_values(values);
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
        self.settings.memory = limit;
        self
    }

    /// Sets the format of rejections.
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    fn of(mode: ReadMode) -> Self {
        let settings = ReadSettings {
            mode,
            decompress: false,
            limits: BodyLimits { max_bytes: 10 * 1024 * 1024, timeout: Duration::from_secs(30) },
            bounds: DocumentBounds::new(),
            memory: MemoryLimit::new(256 * 1024 * 1024),
        };
        Self { settings, rejections: RejectionFormat::Problem }
    }
}

impl Default for PayloadLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for PayloadLayer {
    type Service = BufferPayload<S>;

    fn layer(&self, inner: S) -> BufferPayload<S> {
        BufferPayload::from_parts(inner, self.settings.clone(), self.rejections)
    }
}
