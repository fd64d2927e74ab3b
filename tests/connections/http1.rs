//! A server of HTTP/1.1 that does what its script says with each request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// What happens to one request of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// 200, and the connection stays open.
    Answer,
    /// 200 with `connection: close`, and the connection closes.
    AnswerLast,
    /// These bytes once the request is there, and then the end of the connection.
    Say(&'static str),
    /// The end of the connection (FIN) once as many bytes of the request are there.
    CloseAfter(usize),
    /// The end of the connection once the whole request is there and `go` was given.
    CloseWhenTold,
    /// A reset (RST) once as many bytes of the request are there.
    ResetAfter(usize),
    /// The end of TCP without the `close_notify` of TLS, once the first byte is there.
    Truncate,
    /// An interim response after the first bytes of the request, the rest of it, and the end.
    Interim(&'static str),
    /// Nothing, while the connection stays open.
    Silence,
}

/// A server on loopback. The nth connection follows the nth script; a request beyond its script, or
/// on a connection beyond the scripts, is answered.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    /// Tells [`Act::CloseWhenTold`] to go on.
    pub(crate) go: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicUsize,
    /// Requests of which a byte arrived.
    pub(crate) requests: AtomicUsize,
    pub(crate) arrived: Notify,
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const LAST_ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Server {
    pub(crate) async fn start(scripts: &[&[Act]]) -> Self {
        Self::start_with(scripts, None).await
    }

    pub(crate) async fn start_with(scripts: &[&[Act]], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripts: Vec<Vec<Act>> = scripts.iter().map(|script| script.to_vec()).collect();
        Self::listen(listener, move |nth| scripts.get(nth).cloned().unwrap_or_default(), tls)
    }

    pub(crate) fn listen(
        listener: TcpListener,
        script: impl Fn(usize) -> Vec<Act> + Send + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (counts, go) = (Arc::new(Counts::default()), Arc::new(Notify::new()));
        let server = Self { address, counts: Arc::clone(&counts), go: Arc::clone(&go) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = script(counts.connections.fetch_add(1, SeqCst));
                let (counts, go, tls) = (Arc::clone(&counts), Arc::clone(&go), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, &counts, &go).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, script, &counts, &go).await;
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    /// Waits until as many requests have begun to arrive.
    pub(crate) async fn has_seen(&self, requests: usize) {
        loop {
            let arrived = self.counts.arrived.notified();
            if self.requests() >= requests {
                return;
            }
            arrived.await;
        }
    }
}

/// A stream that can be ended in each way that a server ends one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ends TCP alone, with FIN or with RST.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn serve(mut stream: impl Stream, script: Vec<Act>, counts: &Counts, go: &Notify) {
    let mut script = script.into_iter();
    loop {
        let mut request = vec![0];
        match stream.read(&mut request).await {
            Ok(1) => (),
            Ok(_) | Err(_) => return,
        }
        counts.requests.fetch_add(1, SeqCst);
        counts.arrived.notify_waiters();
        let act = script.next().unwrap_or(Act::Answer);
        match act {
            Act::CloseAfter(bytes) | Act::ResetAfter(bytes) => {
                while request.len() < bytes && !is_whole(&request) {
                    if stream.read_buf(&mut request).await.is_ok_and(|read| read == 0) {
                        return;
                    }
                }
            }
            Act::Truncate | Act::Interim(_) => (),
            _ => {
                while !is_whole(&request) {
                    match stream.read_buf(&mut request).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => (),
                    }
                }
            }
        }
        let said = match act {
            Act::Answer => stream.write_all(ANSWER.as_bytes()).await,
            Act::AnswerLast => {
                let said = stream.write_all(LAST_ANSWER.as_bytes()).await;
                let _gone = stream.shutdown().await;
                return drop(said);
            }
            Act::Say(bytes) => {
                let said = stream.write_all(bytes.as_bytes()).await;
                let _gone = stream.shutdown().await;
                return drop(said);
            }
            Act::CloseAfter(_) => return drop(stream.shutdown().await),
            Act::CloseWhenTold => {
                go.notified().await;
                return drop(stream.shutdown().await);
            }
            Act::ResetAfter(_) => {
                stream.tcp().set_zero_linger().unwrap();
                return;
            }
            // Dropped without `close_notify`. What was not read yet makes it a reset, or not.
            Act::Truncate => {
                drain(&mut stream, request).await;
                return;
            }
            Act::Interim(interim) => {
                let said = stream.write_all(interim.as_bytes()).await;
                drain(&mut stream, request).await;
                let _gone = stream.shutdown().await;
                return drop(said);
            }
            Act::Silence => std::future::pending().await,
        };
        if said.is_err() {
            return;
        }
    }
}

async fn drain(stream: &mut impl Stream, mut request: Vec<u8>) {
    while !is_whole(&request) {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => (),
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let fields = String::from_utf8_lossy(&request[..head]).to_lowercase();
    if fields.contains("transfer-encoding: chunked") {
        return request.ends_with(b"0\r\n\r\n");
    }
    let length = fields.lines().find_map(|line| line.strip_prefix("content-length: "));
    request.len() >= head + 4 + length.map_or(0, |length| length.parse().unwrap())
}
