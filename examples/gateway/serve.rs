//! Accepts, serves and drains connections.

use std::{convert::Infallible, io, mem, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Response, Version},
};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::{Layer as _, Service as _, ServiceExt as _};
use tower_inference::{body::WatchedBody, stalled_reader::StalledReaderLayer};

use crate::{
    activity::{Activity, Overdue},
    args::Serve,
    connections::{self, Connections},
    output::Output,
    peer::{LeftUnread, Peer},
    signals::Signals,
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
/// The pause after `accept` failed for want of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(500);

/// The settings of all connections.
#[derive(Clone)]
pub(crate) struct Server {
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    max_connections: usize,
    max_connections_per_address: usize,
    stalled_reader: StalledReaderLayer,
    head_timeout: Duration,
    drain: Duration,
    output: Output,
}

impl Server {
    pub(crate) fn new(tls: Option<TlsAcceptor>, settings: &Serve, output: Output) -> Self {
        let Serve { head_timeout, drain, .. } = *settings;
        let mut http = auto::Builder::new(TokioExecutor::new());
        // hyper's own timeout for heads includes the time between two requests. It has none for HTTP/2
        // and starts only when the version is known. `activity` has a timeout for all of them.
        http.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_BUFFER);
        // Pings end connections whose client is gone.
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        let slots = &settings.slots;
        Self {
            http,
            tls,
            max_connections: slots.max_connections,
            max_connections_per_address: slots.max_connections_per_address,
            stalled_reader: StalledReaderLayer::new().idle_timeout(slots.reader_timeout),
            head_timeout,
            drain,
            output,
        }
    }

    /// Serves until a signal arrives. Then waits for the requests in flight, until the drain timeout or
    /// another signal.
    pub(crate) async fn run(self, listener: TcpListener, app: Router, signals: &mut Signals) {
        let drain = self.drain;
        let server = Arc::new(self);
        let (leave, leaving) = watch::channel(false);
        let mut connections =
            Connections::new(server.max_connections, server.max_connections_per_address);
        // A connection that is accepted and waits for room.
        let mut waiting: Option<(TcpStream, SocketAddr)> = None;
        // Whether the last `accept` failed.
        let mut failing = false;
        loop {
            if let Some(accepted @ (_, from)) = waiting.take_if(|_| connections.make_room()) {
                let server = Arc::clone(&server);
                connections.admit(from.ip(), |activity| {
                    server.connection(accepted, activity, app.clone(), leaving.clone())
                });
            }
            tokio::select! {
                biased;
                () = signals.next() => break,
                () = connections.ended() => {}
                accepted = accept(&listener, &mut failing, &server.output), if waiting.is_none() => {
                    waiting = Some(accepted);
                }
                // Another connection may be idle by then.
                () = sleep(connections::PAUSE), if waiting.is_some() => {}
            }
        }
        // The system refuses new connections from here on.
        drop(listener);
        let said = |text: &str| server.output.complain(text);
        said(&format!("draining: {} connections are open", connections.len()));
        leave.send_replace(true);
        tokio::select! {
            biased;
            () = connections.all_ended() => said("drained"),
            () = signals.next() => said("second signal: closing all connections"),
            () = sleep(drain) => said("drain timeout: closing all connections"),
        }
        // Drops requests in flight so that the access log has their records.
        connections.shutdown().await;
    }

    async fn connection(
        self: Arc<Self>,
        (stream, from): (TcpStream, SocketAddr),
        activity: Activity,
        app: Router,
        leaving: watch::Receiver<bool>,
    ) {
        // Without it the first bytes of a stream may wait for the next ones. A failure to set it only
        // costs time.
        let _best_effort = stream.set_nodelay(true);
        let serve = async {
            match &self.tls {
                None => self.http(stream, from, &activity, app, leaving).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(self.head_timeout, tls.accept(stream)).await {
                        self.http(stream, from, &activity, app, leaving).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = activity.closed() => {}
            () = serve => {}
        }
    }

    async fn http<I>(
        &self,
        io: I,
        from: SocketAddr,
        activity: &Activity,
        app: Router,
        mut leaving: watch::Receiver<bool>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let left_unread = LeftUnread::default();
        let io = TokioIo::new(Peer::new(io, activity.clone(), left_unread.clone()));
        let routed = tower::service_fn(|mut request: Request<Incoming>| {
            // `PeerAddress` reads the address there.
            request.extensions_mut().insert(from);
            let in_flight = activity.begin(request.version());
            let method = request.method().clone();
            // HTTP/2 ends a stream without closing the connection.
            let request = if request.version() < Version::HTTP_2 {
                request.map(|body| Body::new(WatchedBody::new(body, left_unread.watch())))
            } else {
                request.map(Body::new)
            };
            let response = app.clone().oneshot(request);
            async move {
                let Ok::<Response<Body>, Infallible>(response) = response.await;
                Ok::<_, Infallible>(WatchedBody::of_response(response, &method, in_flight))
            }
        });
        // Owns the response until hyper has sent it or the client stalls.
        let guarded = self.stalled_reader.layer(routed);
        let service = service_fn(|request: Request<Incoming>| {
            let unsent = activity.respond();
            let method = request.method().clone();
            // A `service_fn` is always ready.
            let response = guarded.clone().call(request);
            async move {
                let Ok::<_, Infallible>(response) = response.await;
                Ok::<_, Infallible>(WatchedBody::of_response(response, &method, unsent))
            }
        });
        let connection = self.http.serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            _leave = leaving.wait_for(|leave| *leave) => {}
            overdue = activity.overdue(self.head_timeout) => {
                if overdue == Overdue::Head {
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

/// Returns the next connection and its address.
async fn accept(
    listener: &TcpListener,
    failing: &mut bool,
    output: &Output,
) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if mem::take(failing) {
                    output.complain("connections are accepted again");
                }
                return accepted;
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                if !mem::replace(failing, true) {
                    output.complain(format_args!("cannot accept connections: {error}"));
                }
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Returns whether an error concerns only the connection that was about to be accepted.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
