//! Middleware that cuts off clients that stop reading.
//!
//! A server polls a response body only while the client takes bytes. It does not poll while the
//! HTTP/2 window of the stream is zero or the TCP socket is full. Every deadline inside such a body
//! sleeps as well. Everything that the body owns stays taken: the upstream's slot and connection, the
//! caller's permits, a reservation of tokens and the access log's record.
//!
//! [`StalledReaderLayer`] owns the body for the server. It drops the body when the client has not
//! read for the [idle timeout](StalledReaderLayer::idle_timeout). The client then gets an error
//! instead of the rest: a reset stream over HTTP/2 or an incomplete body over HTTP/1.1.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, channel::Channel};
//! use std::{convert::Infallible, sync::Arc, time::Duration};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::stalled_reader::{BodyError, StalledReaderLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let layer = StalledReaderLayer::new().idle_timeout(Duration::from_secs(30));
//! let service = layer.layer(service_fn(|_request: Request<()>| async {
//!     let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
//!     sender.send_data(Bytes::from("one")).await.unwrap();
//!     sender.send_data(Bytes::from("two")).await.unwrap();
//!     Ok::<_, Infallible>(Response::new(body))
//! }));
//! let mut body = service.oneshot(Request::new(())).await.unwrap().into_body();
//! let frame = body.frame().await.unwrap().unwrap();
//! assert_eq!(frame.into_data().unwrap(), "one");
//!
//! // The client goes away for a minute.
//! tokio::time::sleep(Duration::from_secs(60)).await;
//! assert!(matches!(body.frame().await, Some(Err(BodyError::Stalled))));
//! assert_eq!(layer.cut_responses(), 1);
//! # }
//! ```
//!
//! # Place
//!
//! Put this layer outside every layer whose body owns something. In a
//! [`Stack`](crate::stack::Stack) it is the outermost layer.
//!
//! ```text
//! ServiceBuilder::new().layer(stalled_reader).layer(request_id).layer(access_log)  // the first is the outermost
//! Router::new().layer(access_log).layer(request_id).layer(stalled_reader)          // the last is the outermost
//! ```
//!
//! # When a client stalls
//!
//! A client stalls when data is there and nothing polls for it: after the head, after a frame or
//! after a wake-up. A client that waits for a silent upstream does not stall. `UpstreamLayer` has
//! deadlines for the upstream.
//!
//! A slow client does not stall as long as it reads on. Servers and systems have buffers, so reading
//! shows only when there is room in them. Over HTTP/2 that is when the client took the last frame.
//! Over HTTP/1.1 that is when a part of the socket's send buffer is free. nginx's `send_timeout` has
//! the same default and the same meaning.
//!
//! # Caveats
//!
//! - A stalled client is cut off between the timeout and one and a quarter of it.
//! - One task sweeps the bodies of a layer. It runs while there are bodies and ends with the layer. It
//!   runs in the runtime of the request that started it. A runtime without a timer panics in that
//!   task. Outside a tokio runtime nothing is cut off.
//! - The layer boxes the body, which is its one allocation for each request. The table of bodies grows
//!   to about 200 bytes for each of the most bodies at once and does not shrink.
//! - The server learns of the cut with its next poll. Over HTTP/2 it polls when the client opens the
//!   window. The empty stream stays open until then, so bound the streams and idle connections in the
//!   server.
//! - A request body is not watched. `PayloadLayer` has a deadline for the request body.
//! - A connection that was upgraded (101) has no body to watch.

mod body;
mod place;
mod readers;

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::{BodyError, ResponseBody};
use self::readers::Readers;
use crate::skip::Skip;

/// A layer that cuts off clients that stop reading. See the [module docs](self) for an example.
#[derive(Clone, Debug)]
pub struct StalledReaderLayer {
    readers: Arc<Readers>,
}

impl StalledReaderLayer {
    /// Creates a layer that cuts off clients after 60 seconds without reading.
    #[must_use]
    pub fn new() -> Self {
        Self { readers: Readers::new(Duration::from_secs(60)) }
    }

    /// Sets how long a client may leave a response unread.
    ///
    /// Defaults to 60 seconds. [`Duration::MAX`] cuts off no client.
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { readers: Readers::new(timeout) }
    }

    /// Returns how many responses all services of this layer have cut off.
    #[must_use]
    pub fn cut_responses(&self) -> u64 {
        self.readers.cut()
    }

    /// Returns how many response bodies of all services of this layer are open now.
    #[must_use]
    pub fn open_responses(&self) -> usize {
        self.readers.open()
    }
}

impl Default for StalledReaderLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for StalledReaderLayer {
    type Service = StalledReader<S>;

    fn layer(&self, inner: S) -> StalledReader<S> {
        StalledReader { inner, readers: Some(Arc::clone(&self.readers)) }
    }
}

impl<S> Skip<S> for StalledReaderLayer {
    fn skip(inner: S) -> StalledReader<S> {
        StalledReader { inner, readers: None }
    }
}

/// Middleware that cuts off clients that stop reading.
///
/// [`StalledReaderLayer`] has the settings.
#[derive(Clone, Debug)]
pub struct StalledReader<S> {
    inner: S,
    // `None` when disabled.
    readers: Option<Arc<Readers>>,
}

impl<S> StalledReader<S> {
    /// Wraps `inner` with the defaults of [`StalledReaderLayer::new`].
    pub fn new(inner: S) -> Self {
        StalledReaderLayer::new().layer(inner)
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for StalledReader<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        let readers = self.readers.clone();
        ResponseFuture { inner: self.inner.call(request), readers }
    }
}

pin_project! {
    /// The future of [`StalledReader`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        readers: Option<Arc<Readers>>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let readers = this.readers.as_ref();
        this.inner.poll(cx).map_ok(|response| response.map(|body| ResponseBody::new(body, readers)))
    }
}
