//! A connection that records how far its last request got.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The state of one connection. Its task counts turns. The future of a request notes the turn of its
/// response and reads how far a failed request got. hyper's channels order the two.
#[derive(Debug)]
pub(super) struct Watch {
    opened: Instant,
    /// HTTP/2 carries several requests at once. Turns then tell nothing about one of them.
    shared: bool,
    /// Changes between writing and reading: odd once bytes were written, even once bytes were read
    /// after that.
    turns: AtomicU32,
    /// The turn in which the head of the last response was read. Zero: no response yet.
    responded: AtomicU32,
}

/// How far a request got on the connection that failed it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// The connection was opened for this request.
    NewConnection,
    /// The connection is reused, and several requests share it.
    Shared,
    /// The connection is reused. No byte was read after the first byte of the request.
    NoResponse,
    /// The connection is reused. Bytes were read, if only those of an interim response.
    ResponseBegun,
}

impl Watch {
    fn new(shared: bool) -> Self {
        Self {
            opened: Instant::now(),
            shared,
            turns: AtomicU32::new(0),
            responded: AtomicU32::new(0),
        }
    }

    /// Notes that the head of a response has arrived.
    pub(super) fn note_response(&self) {
        self.responded.store(self.turns.load(Relaxed).max(1), Relaxed);
    }

    /// Returns how far a request got that was sent at `called` and failed on this connection.
    ///
    /// HTTP/1.1 carries one request at a time. All bytes of an exchange are written and read before
    /// the next one begins. After the last response the request is therefore the next turn. Bytes that
    /// were read for it would be one more. A response whose turn is not noted yet only adds turns and
    /// prevents a retry. So does one that came before its request was written to the end.
    pub(super) fn progress(&self, called: Instant) -> Progress {
        let (turns, responded) = (self.turns.load(Relaxed), self.responded.load(Relaxed));
        // A connection that was opened for a request that another connection took is as old.
        if responded == 0 && self.opened >= called {
            Progress::NewConnection
        } else if self.shared {
            Progress::Shared
        } else if responded % 2 == 0 && turns.wrapping_sub(responded) <= 1 {
            Progress::NoResponse
        } else {
            Progress::ResponseBegun
        }
    }

    fn wrote(&self) {
        self.turn(0);
    }

    fn read(&self) {
        self.turn(1);
    }

    /// Begins the next turn if this one is even (0) or odd (1). There is one writer.
    fn turn(&self, parity: u32) {
        let turns = self.turns.load(Relaxed);
        if turns % 2 == parity {
            self.turns.store(turns.wrapping_add(1), Relaxed);
        }
    }
}

/// A stream and its [`Watch`]. The bytes pass unchanged.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    negotiated: bool,
    watch: Arc<Watch>,
}

impl<T> Watched<TokioIo<MaybeHttpsStream<T>>>
where
    MaybeHttpsStream<T>: Connection,
{
    /// Watches a stream that is open now. With `prior_knowledge` it speaks HTTP/2 unasked.
    pub(super) fn new(stream: MaybeHttpsStream<T>, prior_knowledge: bool) -> Self {
        let negotiated = stream.connected().is_negotiated_h2();
        let watch = Arc::new(Watch::new(prior_knowledge || negotiated));
        Self { stream: TokioIo::new(stream), negotiated, watch }
    }
}

impl<S> Watched<S> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.watch.wrote();
        }
        written
    }
}

impl<S> Connection for Watched<S> {
    fn connected(&self) -> Connected {
        // hyper-util clones the extra into the extensions of each response. That of the socket,
        // its addresses, is left out.
        let connected = Connected::new().extra(Arc::clone(&self.watch));
        if self.negotiated { connected.negotiated_h2() } else { connected }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.watch.read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    /// A connection, and its other end.
    fn connection(shared: bool) -> (Watched<DuplexStream>, DuplexStream) {
        let (stream, peer) = duplex(64);
        let watch = Arc::new(Watch::new(shared));
        (Watched { stream, negotiated: false, watch }, peer)
    }

    /// Sends a request and reads its response.
    async fn exchange(connection: &mut Watched<DuplexStream>, peer: &mut DuplexStream) {
        write(connection).await;
        read(connection, peer).await;
        connection.watch.note_response();
        read(connection, peer).await;
    }

    async fn write(connection: &mut Watched<DuplexStream>) {
        connection.write_all(b"some").await.unwrap();
    }

    async fn read(connection: &mut Watched<DuplexStream>, peer: &mut DuplexStream) {
        peer.write_all(b"some").await.unwrap();
        connection.read_exact(&mut [0; 4]).await.unwrap();
    }

    async fn later() -> Instant {
        advance(Duration::from_millis(1)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_opened_for_the_request_is_new() {
        let called = Instant::now();
        let (mut connection, mut peer) = connection(false);
        assert_eq!(connection.watch.progress(called), Progress::NewConnection);
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::NewConnection);
        read(&mut connection, &mut peer).await;
        assert_eq!(connection.watch.progress(called), Progress::NewConnection);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reused_connection_tells_how_far_the_request_got() {
        // Also a request that waited for the connection before that was opened.
        let called = Instant::now();
        let (mut connection, mut peer) = connection(false);
        for _ in 0..3 {
            exchange(&mut connection, &mut peer).await;
            for called in [called, later().await] {
                assert_eq!(connection.watch.progress(called), Progress::NoResponse);
            }
            write(&mut connection).await;
            write(&mut connection).await;
            assert_eq!(connection.watch.progress(called), Progress::NoResponse);
            read(&mut connection, &mut peer).await;
            assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
            connection.watch.note_response();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_opened_ahead_and_never_used_is_reused() {
        let (mut connection, mut peer) = connection(false);
        let called = later().await;
        assert_eq!(connection.watch.progress(called), Progress::NoResponse);
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::NoResponse);
        read(&mut connection, &mut peer).await;
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interim_response_counts_as_a_response_also_in_the_middle_of_a_body() {
        let (mut connection, mut peer) = connection(false);
        exchange(&mut connection, &mut peer).await;
        let called = later().await;
        write(&mut connection).await;
        read(&mut connection, &mut peer).await;
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_before_the_end_of_its_request_prevents_one_retry_at_most() {
        let (mut connection, mut peer) = connection(false);
        write(&mut connection).await;
        read(&mut connection, &mut peer).await;
        connection.watch.note_response();
        write(&mut connection).await;
        read(&mut connection, &mut peer).await;
        let called = later().await;
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
        read(&mut connection, &mut peer).await;
        connection.watch.note_response();
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::NoResponse);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_noted_late_prevents_a_retry() {
        let (mut connection, mut peer) = connection(false);
        write(&mut connection).await;
        read(&mut connection, &mut peer).await;
        let called = later().await;
        write(&mut connection).await;
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
        connection.watch.note_response();
        assert_eq!(connection.watch.progress(called), Progress::ResponseBegun);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_stream_is_no_answer() {
        let (mut connection, mut peer) = connection(false);
        exchange(&mut connection, &mut peer).await;
        let called = later().await;
        write(&mut connection).await;
        drop(peer);
        assert_eq!(connection.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(connection.watch.progress(called), Progress::NoResponse);
    }

    #[tokio::test(start_paused = true)]
    async fn what_several_requests_share_tells_of_none() {
        let called = Instant::now();
        let (mut connection, mut peer) = connection(true);
        write(&mut connection).await;
        read(&mut connection, &mut peer).await;
        assert_eq!(connection.watch.progress(called), Progress::NewConnection);
        connection.watch.note_response();
        assert_eq!(connection.watch.progress(called), Progress::Shared);
        assert_eq!(connection.watch.progress(later().await), Progress::Shared);
    }
}
