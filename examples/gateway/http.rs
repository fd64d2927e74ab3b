//! Serves HTTP/1.1 or HTTP/2 on one connection, whichever the client speaks.

use std::{
    cell::RefCell,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    body::{Bytes, HttpBody},
    http::{Method, Request, Response, Version, header::CONTENT_LENGTH},
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tower::{Layer as _, Service as _, ServiceExt as _, util::Oneshot};
use tower_inference::{
    body::{ResponseBody, WatchedBody},
    stalled_reader::StalledReaderLayer,
};

use crate::{
    activity::{Activity, InFlight, Overdue},
    held::Held,
    peer::{LeftUnread, Peer, UnreadWatch},
    probes::{self, OpenRoutes},
    seldom::Seldom,
    stack::Gateway,
};

/// The maximum number of concurrent streams of an HTTP/2 connection. hyper disconnects a client that
/// resets streams faster than they are accepted (20 pending resets, or 1,024 for errors).
const MAX_STREAMS: u32 = 128;
/// The bytes of a body that an HTTP/2 client may send before any of it is read.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies of a connection. hyper's default is 1 MiB for each of the two.
const CONNECTION_WINDOW: u32 = 512 << 10;
/// The bytes of an HTTP/2 stream that wait to be sent. hyper's default of 400 KiB would be 50 MiB for a
/// connection.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// The bytes of an HTTP/1.1 request head. A larger one gets 431. HTTP/2 has hyper's limit of 16 KiB.
const MAX_BUFFER: usize = 64 << 10;
/// How long a closing connection may stay open without a request in flight. The last response may
/// still be under way to a slow reader.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request. hyper's own, whose end matters to the connection.
pub(crate) type RequestBody = WatchedBody<Incoming, UnreadWatch>;

/// The settings of all connections.
pub(crate) struct Http {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    stalled_reader: StalledReaderLayer,
    head_timeout: Duration,
}

impl Http {
    pub(crate) fn new(head_timeout: Duration, reader_timeout: Duration) -> Self {
        let (mut http1, mut http2) =
            (http1::Builder::new(), http2::Builder::new(TokioExecutor::new()));
        // hyper's own timeout for heads includes the time between two requests. It has none for HTTP/2
        // and starts only when the version is known. `activity` has a timeout for all of them.
        http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_BUFFER);
        // Pings end connections whose client is gone.
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        let stalled_reader = StalledReaderLayer::new().idle_timeout(reader_timeout);
        Self { http1, http2, stalled_reader, head_timeout }
    }

    /// Serves a connection until it ends, the client is overdue or the program leaves.
    pub(crate) async fn serve<I>(
        &self,
        io: I,
        from: SocketAddr,
        activity: Activity,
        stack: impl Gateway<Body: 'static>,
        open: OpenRoutes,
        mut leaving: watch::Receiver<bool>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let left_unread = LeftUnread::default();
        let mut peer = Peer::new(io, activity.clone(), left_unread.clone());
        let speaks_http2 = tokio::select! {
            biased;
            speaks = peer.speaks_http2() => speaks,
            _leave = leaving.wait_for(|leave| *leave) => return,
            _overdue = activity.overdue(self.head_timeout) => return,
        };
        let Ok(speaks_http2) = speaks_http2 else { return };
        let io = TokioIo::new(peer);

        // One stack for all requests of the connection.
        let mut stack = stack;
        let requests = activity.clone();
        let routed = tower::service_fn(move |mut request: Request<Incoming>| {
            // `PeerAddress` reads the address there.
            request.extensions_mut().insert(from);
            let in_flight = requests.begin(request.version());
            let is_head = *request.method() == Method::HEAD;
            let probe = probes::response(&request, &open);
            // HTTP/2 ends a stream without closing the connection.
            let watch = if request.version() < Version::HTTP_2 {
                left_unread.watch()
            } else {
                UnreadWatch::none()
            };
            let call = match probe {
                Some(probe) => Call::Probe { response: Some(Box::new(probe)) },
                None => {
                    let request = request.map(|body| WatchedBody::new(body, watch));
                    Call::of_stack(&mut stack, request)
                }
            };
            RoutedFuture { call, is_head, in_flight: Some(in_flight) }
        });
        // Owns the response until hyper has sent it or the client stalls.
        let guarded = RefCell::new(self.stalled_reader.layer(routed));
        let responses = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let unsent = responses.respond();
            // A `service_fn` is always ready.
            let response = guarded.borrow_mut().call(request);
            async move {
                let Ok::<_, Infallible>(response) = response.await;
                Ok::<_, Infallible>(Held::of_response(response, unsent))
            }
        });
        if speaks_http2 {
            self.drive(self.http2.serve_connection(io, service), activity, leaving).await;
        } else {
            self.drive(self.http1.serve_connection(io, service), activity, leaving).await;
        }
    }

    async fn drive(
        &self,
        connection: impl GracefulConnection,
        activity: Activity,
        mut leaving: watch::Receiver<bool>,
    ) {
        tokio::pin!(connection);
        let end = Seldom::new(async {
            tokio::select! {
                biased;
                _leave = leaving.wait_for(|leave| *leave) => None,
                overdue = activity.overdue(self.head_timeout) => Some(overdue),
            }
        });
        tokio::select! {
            // First, because hyper closes a connection on which it has read nothing.
            biased;
            _ended = connection.as_mut() => return,
            end = end => {
                if end == Some(Overdue::Head) {
                    return;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        activity.leave();
        tokio::select! {
            _ended = connection => {}
            _overdue = activity.overdue_within(self.head_timeout, CLOSE_TIMEOUT) => {}
        }
    }
}

/// Returns the response to a HEAD request. hyper leaves out the body over HTTP/1.1 alone.
fn without_body<B: HttpBody<Data = Bytes>>(
    mut response: Response<ResponseBody<B>>,
) -> Response<ResponseBody<B>> {
    // The length that a GET would have (RFC 9110 section 8.6).
    if let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response.map(|_body| ResponseBody::default())
}

/// The call of one request. Each future is boxed where it is made, because those around it would
/// move it.
enum Call<S: Gateway> {
    Stack {
        future: Pin<Box<S::Future>>,
    },
    /// Waits in a clone until the stack is ready.
    Waiting {
        future: Pin<Box<Oneshot<S, Request<RequestBody>>>>,
    },
    /// `None` after completion.
    Probe {
        response: Option<Box<Response<ResponseBody<S::Body>>>>,
    },
}

impl<S: Gateway> Call<S> {
    fn of_stack(stack: &mut S, request: Request<RequestBody>) -> Self {
        // The layers are always ready. A service may not be.
        if stack.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready() {
            Self::Stack { future: Box::pin(stack.call(request)) }
        } else {
            Self::Waiting { future: Box::pin(stack.clone().oneshot(request)) }
        }
    }
}

/// Responds to one request, which is in flight until its response is dropped.
struct RoutedFuture<S: Gateway> {
    call: Call<S>,
    is_head: bool,
    // `None` after completion.
    in_flight: Option<InFlight>,
}

// The calls are boxed.
impl<S: Gateway> Unpin for RoutedFuture<S> {}

impl<S: Gateway> Future for RoutedFuture<S> {
    type Output = Result<Response<Held<ResponseBody<S::Body>, InFlight>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = match &mut this.call {
            Call::Stack { future } => future.as_mut().poll(cx),
            Call::Waiting { future } => future.as_mut().poll(cx),
            Call::Probe { response } => {
                let (Some(response), Some(in_flight)) = (response.take(), this.in_flight.take())
                else {
                    return Poll::Pending;
                };
                let response = if this.is_head { without_body(*response) } else { *response };
                return Poll::Ready(Ok(Held::of_response(response, in_flight)));
            }
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(response)) => {
                let Some(in_flight) = this.in_flight.take() else { return Poll::Pending };
                if this.is_head {
                    let response = without_body(response.map(ResponseBody::inner));
                    return Poll::Ready(Ok(Held::of_response(response, in_flight)));
                }
                Poll::Ready(
                    Ok(response.map(|body| Held::new(ResponseBody::inner(body), in_flight))),
                )
            }
        }
    }
}
