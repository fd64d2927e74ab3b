//! Closing so that the last answer arrives.
//!
//! A body that is refused half-way (413) may still be on its way when its answer is written. To
//! close then resets the connection, and the reset may overtake the answer (RFC 9112 section 9.6).
//! So the rest is read and thrown away first, for a while.

use std::{
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
    time::{Sleep, sleep},
};
use tower_inference::body::{BodyEnd, Watch};

/// How long the rest of a refused body is read, at most.
const LONGEST: Duration = Duration::from_secs(10);

/// Whether the last request's body was left unread.
#[derive(Clone, Default)]
pub(crate) struct LeftUnread(Arc<AtomicBool>);

impl LeftUnread {
    /// For the next request's body.
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

/// A connection that lingers when a body was left unread.
pub(crate) struct Linger<I> {
    io: I,
    left_unread: LeftUnread,
    // From the end of writing on.
    until: Option<Pin<Box<Sleep>>>,
}

impl<I> Linger<I> {
    pub(crate) fn new(io: I, left_unread: LeftUnread) -> Self {
        Self { io, left_unread, until: None }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Linger<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, left_unread, until } = self.get_mut();
        let until = match until {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
                if !left_unread.0.load(Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                until.insert(Box::pin(sleep(LONGEST)))
            }
        };
        let mut rest = [0; 8 * 1024];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut rest = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut *io).poll_read(cx, &mut rest));
            if read.is_err() || rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
