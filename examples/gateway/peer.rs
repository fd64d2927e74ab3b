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

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
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

/// Whether the body of the last request was left unread.
#[derive(Clone, Default)]
pub(crate) struct LeftUnread(Arc<AtomicBool>);

impl LeftUnread {
    /// Returns a watch for the body of the next request.
    pub(crate) fn watch(&self) -> Self {
        self.0.store(false, Relaxed);
        self.clone()
    }
}

impl Watch for LeftUnread {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, end: BodyEnd) {
        self.0.store(end == BodyEnd::Cancelled, Relaxed);
    }
}

/// The connection to a client.
pub(crate) struct Peer<I> {
    io: I,
    activity: Activity,
    left_unread: LeftUnread,
    // Set from the first write that waits to the next one that does not.
    stalled: Option<Pin<Box<Sleep>>>,
    // Set at the end of writing: the whole time, and the time since the last dropped byte.
    lingers: Option<[Pin<Box<Sleep>>; 2]>,
}

impl<I> Peer<I> {
    pub(crate) fn new(io: I, activity: Activity, left_unread: LeftUnread) -> Self {
        Self { io, activity, left_unread, stalled: None, lingers: None }
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

impl<I: AsyncRead + Unpin> AsyncRead for Peer<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

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
