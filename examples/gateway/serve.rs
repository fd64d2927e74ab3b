//! Accepts, serves and drains connections.

use std::{io, mem, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    activity::Activity,
    args::Serve,
    connections::{self, Connections},
    http::Http,
    output::Output,
    probes::OpenRoutes,
    stack::Gateway,
};

/// The pause after `accept` failed for want of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(500);

/// The settings of all connections.
pub(crate) struct Server {
    http: Http,
    tls: Option<TlsAcceptor>,
    max_connections: usize,
    max_connections_per_address: usize,
    head_timeout: Duration,
    drain: Duration,
    output: Output,
}

impl Server {
    pub(crate) fn new(tls: Option<TlsAcceptor>, settings: &Serve, output: Output) -> Self {
        let Serve { head_timeout, drain, .. } = *settings;
        let slots = &settings.slots;
        Self {
            http: Http::new(head_timeout, slots.reader_timeout),
            tls,
            max_connections: slots.max_connections,
            max_connections_per_address: slots.max_connections_per_address,
            head_timeout,
            drain,
            output,
        }
    }

    /// Sets how many connections may be open, from one address or many.
    pub(crate) fn max_connections(self, connections: usize) -> Self {
        Self { max_connections: connections, max_connections_per_address: connections, ..self }
    }

    /// Serves until a signal arrives. Then waits for the requests in flight, until the drain timeout or
    /// another signal.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        stack: impl Gateway<Body: 'static>,
        open: OpenRoutes,
        mut signal: impl AsyncFnMut(),
    ) {
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
                    server.connection(
                        accepted,
                        activity,
                        stack.clone(),
                        open.clone(),
                        leaving.clone(),
                    )
                });
            }
            tokio::select! {
                biased;
                () = signal() => break,
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
            () = signal() => said("second signal: closing all connections"),
            () = sleep(drain) => said("drain timeout: closing all connections"),
        }
        // Drops requests in flight so that the access log has their records.
        connections.shutdown().await;
    }

    async fn connection(
        self: Arc<Self>,
        (stream, from): (TcpStream, SocketAddr),
        activity: Activity,
        stack: impl Gateway<Body: 'static>,
        open: OpenRoutes,
        leaving: watch::Receiver<bool>,
    ) {
        // Without it the first bytes of a stream may wait for the next ones. A failure to set it only
        // costs time.
        let _best_effort = stream.set_nodelay(true);
        match &self.tls {
            None => self.http.serve(stream, from, activity, stack, open, leaving).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(self.head_timeout, tls.accept(stream)).await {
                    self.http.serve(stream, from, activity, stack, open, leaving).await;
                }
            }
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
