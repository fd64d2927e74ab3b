use std::time::Duration;

use tower_layer::Layer;

use super::{
    body::bounded::BodyLimits,
    json::bounds::DocumentBounds,
    read::settings::{ReadMode, ReadSettings},
    service::BufferPayload,
};
use crate::{memory_limit::MemoryLimit, rejection::RejectionFormat};

/// A [`Layer`] that turns `Request<B>` into `Request<Payload>` for any body `B`.
///
/// The configuration chooses one of three modes. The request cannot change it. [`new`](Self::new)
/// requires JSON, [`bytes`](Self::bytes) buffers any type and [`streamed`](Self::streamed) does not
/// buffer. With [`by_route`](Self::by_route) the route chooses. See the [module docs](super) for an example and the rejections.
#[derive(Clone, Debug)]
pub struct PayloadLayer {
    settings: ReadSettings,
    rejections: RejectionFormat,
}

impl PayloadLayer {
    /// Creates a layer that requires JSON.
    ///
    /// The document is parsed before the inner service is called. The body may be absent with the
    /// methods GET, HEAD, DELETE, OPTIONS and TRACE.
    #[must_use]
    pub fn new() -> Self {
        Self::of(ReadMode::Json)
    }

    /// Creates a layer that buffers bodies of any type.
    ///
    /// The document is parsed when a layer first reads it. A body of more than 256 KiB that starts
    /// as an array or object is parsed at once, in steps between which other tasks run.
    #[must_use]
    pub fn bytes() -> Self {
        Self::of(ReadMode::Bytes)
    }

    /// Creates a layer that streams bodies of any type and coding without reading them.
    ///
    /// The size limit and the timeout still apply. A body that exceeds one fails with a
    /// [`PayloadError`](super::PayloadError) on its way to the upstream. The upstream then sees an
    /// aborted request (a closed connection or a reset HTTP/2 stream) and never one that looks
    /// complete.
    ///
    /// The timeout starts when the body is first polled and includes the time in which the upstream
    /// reads it. Raise it for long uploads.
    #[must_use]
    pub fn streamed() -> Self {
        Self::of(ReadMode::Streamed)
    }

    /// Creates a layer that reads each body as its route requires.
    ///
    /// [`RouteLayer`](crate::route::RouteLayer#bodies) outside of it knows the route. A request whose
    /// route is not known must have JSON.
    #[must_use]
    pub fn by_route() -> Self {
        Self::of(ReadMode::ByRoute)
    }

    /// Decodes bodies with the `content-encoding` `gzip`, `br` or `zstd`. By default they are
    /// rejected with 415.
    ///
    /// Inner layers and the upstream see the decoded body. `content-encoding` and the digests of
    /// the coded bytes (RFC 9530) are removed and `content-length` is updated. A
    /// [`streamed`](Self::streamed) body is not decoded. See the [module docs](super#coded-bodies)
    /// for the memory that decoding takes.
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
    /// let response = PayloadLayer::new().decompress().layer(upstream).oneshot(request).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    #[cfg(feature = "decompression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "decompression")))]
    #[must_use]
    pub const fn decompress(mut self) -> Self {
        self.settings.decompress = true;
        self
    }

    #[cfg(not(feature = "decompression"))]
    #[doc(hidden)]
    #[must_use]
    pub fn decompress(self) -> Self
    where
        for<'a> &'a Self: crate::missing_feature::Decompression,
    {
        self
    }

    /// Sets the maximum size of a body in bytes. Defaults to 10 MiB, as in API Gateway.
    ///
    /// A larger body is rejected with 413. It is rejected before any byte is read if
    /// `content-length` exceeds the maximum. The maximum applies to a coded body before and after
    /// decoding.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.settings.limits.max_bytes = bytes;
        self
    }

    /// Sets the time in which the whole body must arrive. Defaults to 30 seconds.
    ///
    /// The time starts when the body is first polled. A slower body is rejected with 408.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.timeout = timeout;
        self
    }

    /// Sets the maximum nesting depth of the document. Defaults to 128. See
    /// [`DocumentBounds::max_depth`].
    #[must_use]
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.settings.bounds = self.settings.bounds.max_depth(depth);
        self
    }

    /// Sets the maximum number of values in the document. See [`DocumentBounds::max_values`].
    #[must_use]
    pub const fn max_values(mut self, values: u32) -> Self {
        self.settings.bounds = self.settings.bounds.max_values(values);
        self
    }

    /// Sets the memory limit that all bodies share. Defaults to 256 MiB for this layer and its
    /// clones.
    ///
    /// The limit counts bodies, documents and decoders until they are dropped. A body without room
    /// is rejected with 503 `overloaded` and `retry-after`. Small bodies are [served
    /// first](crate::memory_limit#small-permits-are-served-first). Several layers can share one
    /// limit. A [`streamed`](Self::streamed) body takes nothing.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.settings.memory = limit;
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    /// Creates a layer that makes a payload of any body and reads and bounds nothing.
    pub(crate) fn off() -> Self {
        Self::of(ReadMode::Off)
    }

    /// Returns the memory that the bodies take now and the limit, in bytes.
    pub(crate) fn memory(&self) -> (usize, usize) {
        (self.settings.memory.taken_bytes(), self.settings.memory.max_bytes())
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

impl<S> BufferPayload<S> {
    /// Wraps `inner` with the defaults of [`PayloadLayer::new`].
    pub fn new(inner: S) -> Self {
        PayloadLayer::new().layer(inner)
    }
}

impl<S> Layer<S> for PayloadLayer {
    type Service = BufferPayload<S>;

    fn layer(&self, inner: S) -> BufferPayload<S> {
        BufferPayload::from_parts(inner, self.settings.clone(), self.rejections)
    }
}
