//! Bounds the writes to a client and lets it read the response to a rejected body.
//!
//! - A client that accepts no bytes of its response for a minute is cut off. The upstream's deadlines do
//!   not apply because hyper does not poll the body while the connection cannot be written to.
//! - A rejected body (413) may still be arriving when its response is written. Closing the connection
//!   then resets it, and the reset may overtake the response (RFC 9112 section 9.6). The rest of the
//!   body is therefore read and dropped for a while.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tower_inference::body::{BodyEnd, Watch};

use crate::activity::Activity;

/// How long a client may accept no bytes.
const STALL: Duration = Duration::from_secs(60);
/// How long the rest of a rejected body is read at most.
const LINGER: Duration = Duration::from_secs(10);
/// How long the rest of a body may pause. An idle connection has no rest and must not delay a drain.
const QUIET: Duration = Duration::from_secs(1);
/// The start of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The bytes of the first read. hyper's first buffer has the same size.
const FIRST_READ: usize = 8 << 10;

/// Whether the body of the last request was left unread.
#[derive(Clone, Default)]
pub(crate) struct LeftUnread(Arc<AtomicBool>);

/// Watches the body of one request. `None` is a body whose end does not matter.
pub(crate) struct UnreadWatch(Option<LeftUnread>);

impl LeftUnread {
    /// Returns a watch for the body of the next request.
    pub(crate) fn watch(&self) -> UnreadWatch {
        self.0.store(false, Relaxed);
        UnreadWatch(Some(self.clone()))
    }
}

impl UnreadWatch {
    pub(crate) const fn none() -> Self {
        Self(None)
    }
}

impl Watch for UnreadWatch {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, end: BodyEnd) {
        if let Some(left_unread) = &self.0 {
            left_unread.0.store(end == BodyEnd::Cancelled, Relaxed);
        }
    }
}

/// The connection to a client.
pub(crate) struct Peer<I> {
    io: I,
    // The bytes that told the version of HTTP, until they are read again.
    first: Bytes,
    activity: Activity,
    left_unread: LeftUnread,
    // Set from the first write that waits to the next one that does not.
    stalled: Option<Pin<Box<Sleep>>>,
    // Set at the end of writing: the whole time, and the time since the last dropped byte.
    lingers: Option<[Pin<Box<Sleep>>; 2]>,
}

impl<I> Peer<I> {
    pub(crate) fn new(io: I, activity: Activity, left_unread: LeftUnread) -> Self {
        Self { io, first: Bytes::new(), activity, left_unread, stalled: None, lingers: None }
    }

    /// Bounds the wait of a write.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> Peer<I> {
    /// Returns whether the client speaks HTTP/2, which begins with a fixed text (RFC 9113 section
    /// 3.4). Usually one read brings it together with the first request.
    pub(crate) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let mut first = BytesMut::with_capacity(FIRST_READ);
        let speaks = loop {
            let known = first.len().min(PREFACE.len());
            if first.get(..known) != PREFACE.get(..known) {
                break false;
            }
            if known == PREFACE.len() {
                break true;
            }
            if self.io.read_buf(&mut first).await? == 0 {
                break false;
            }
        };
        self.first = first.freeze();
        Ok(speaks)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Peer<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(length));
            self.activity.read();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read();
        }
        read
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Peer<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, data);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, data);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let [lingers, quiet] = match &mut this.lingers {
            Some(lingers) => lingers,
            None => {
                let written = Pin::new(&mut this.io).poll_shutdown(cx);
                ready!(this.in_time(cx, written))?;
                if !this.left_unread.0.load(Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                this.lingers.insert([LINGER, QUIET].map(|time| Box::pin(sleep(time))))
            }
        };
        let mut rest = [0; 8 * 1024];
        loop {
            if lingers.as_mut().poll(cx).is_ready() || quiet.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut rest = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut rest));
            if read.is_err() || rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            quiet.as_mut().reset(Instant::now() + QUIET);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// Returns whether `pieces`, each in a write of its own, begin HTTP/2. Reads them back.
    async fn speaks_http2(pieces: &[&[u8]]) -> bool {
        let (io, mut other_side) = duplex(64);
        let mut peer = Peer::new(io, Activity::new(), LeftUnread::default());
        let (speaks, ()) = tokio::join!(peer.speaks_http2(), async {
            for piece in pieces {
                other_side.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(other_side);
        });
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, pieces.concat());
        speaks.unwrap()
    }

    #[tokio::test]
    async fn the_version_is_told_by_the_first_bytes_however_they_are_cut() {
        for cut in 0..PREFACE.len() {
            let (one, other) = PREFACE.split_at(cut);
            assert!(speaks_http2(&[one, other, b"frames"]).await, "{cut}");
        }
        for other in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b""]
        {
            assert!(!speaks_http2(&[other]).await, "{}", other.escape_ascii());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_gone_after_a_minute() {
        let (io, mut other_side) = duplex(4);
        let mut peer = Peer::new(io, Activity::new(), LeftUnread::default());
        let start = Instant::now();
        let taken = tokio::join!(peer.write_all(b"12345678"), async {
            sleep(STALL / 2).await;
            other_side.read_u8().await.unwrap();
        });
        assert_eq!(taken.0.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // The byte that it took started the time anew.
        assert_eq!(start.elapsed(), STALL / 2 + STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_refused_body_is_read_before_the_close() {
        let (io, mut other_side) = duplex(4);
        let left_unread = LeftUnread::default();
        let mut peer = Peer::new(io, Activity::new(), left_unread.clone());
        left_unread.watch().end(BodyEnd::Cancelled);
        let (closed, sent) = tokio::join!(peer.shutdown(), async {
            other_side.write_all(&[b'x'; 100_000]).await?;
            other_side.shutdown().await
        });
        assert!(closed.is_ok() && sent.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_has_an_end_however_lively_the_peer() {
        let (io, mut other_side) = duplex(4);
        let left_unread = LeftUnread::default();
        let mut peer = Peer::new(io, Activity::new(), left_unread.clone());
        let start = Instant::now();
        left_unread.watch().end(BodyEnd::Cancelled);
        let drips = async {
            while other_side.write_u8(b'x').await.is_ok() {
                sleep(QUIET / 2).await;
            }
        };
        tokio::select! {
            closed = peer.shutdown() => closed.unwrap(),
            () = drips => panic!("the peer gave up first"),
        }
        assert_eq!(start.elapsed(), LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_ends_when_nothing_comes() {
        let (io, _other_side) = duplex(4);
        let left_unread = LeftUnread::default();
        let mut peer = Peer::new(io, Activity::new(), left_unread.clone());
        let start = Instant::now();
        left_unread.watch().end(BodyEnd::Cancelled);
        peer.shutdown().await.unwrap();
        assert_eq!(start.elapsed(), QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_read_is_not_lingered_for() {
        let (io, _other_side) = duplex(4);
        let left_unread = LeftUnread::default();
        let mut peer = Peer::new(io, Activity::new(), left_unread.clone());
        let start = Instant::now();
        left_unread.watch().end(BodyEnd::Complete);
        peer.shutdown().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
