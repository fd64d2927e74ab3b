use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::replies::{Breach, Messages};
use crate::lock::Lock;

/// A connection that fails once a reply exceeds its bounds. The client buffers unread bytes without
/// a bound, so this connection stops them before the client.
pub(super) struct Bounded {
    stream: Pin<Box<dyn Socket>>,
    sent: Messages,
    replies: Messages,
    // Commands that have no reply yet.
    waiting: u64,
    breach: Arc<LastBreach>,
}

/// A connection over TCP with or without TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Socket for S {}

/// How the last connection exceeded its bounds.
#[derive(Debug, Default)]
pub(super) struct LastBreach(Lock<Option<Breach>>);

impl Bounded {
    pub(super) fn new(
        stream: Pin<Box<dyn Socket>>,
        max_reply: u64,
        breach: Arc<LastBreach>,
    ) -> Self {
        let (sent, replies) = (Messages::new(u64::MAX), Messages::new(max_reply));
        Self { stream, sent, replies, waiting: 0, breach }
    }

    fn received(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        let ended = self.replies.read(bytes)?;
        self.waiting = self.waiting.checked_sub(ended).ok_or(Breach::Unasked)?;
        if self.waiting == 0 && self.replies.under_way() {
            return Err(Breach::Unasked);
        }
        Ok(())
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(self.stream.as_mut().poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.received(read).map_err(|breach| {
            *self.breach.0.lock() = Some(breach);
            io::Error::new(io::ErrorKind::InvalidData, breach)
        }))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(self.stream.as_mut().poll_write(cx, bytes))?;
        let sent = self.sent.read(bytes.get(..written).unwrap_or_default());
        let sent = sent.map_err(|breach| io::Error::new(io::ErrorKind::InvalidInput, breach))?;
        self.waiting = self.waiting.saturating_add(sent);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

impl LastBreach {
    pub(super) fn take(&self) -> Option<Breach> {
        self.0.lock().take()
    }
}
