//! Sending a request once more.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use http::{Extensions, Request};
use http_body::Body;
use hyper_util::client::legacy;
use tokio::time::Instant;

use super::{
    clients::Clients,
    watched::{Progress, Watch},
};
use crate::{causes::causes, replay::RequestCopy};

type BoxError = Box<dyn StdError + Send + Sync>;

/// A copy of a request that was sent, for the case that it must be sent again.
pub(super) struct Again<B> {
    clients: Arc<Clients<B>>,
    called: Instant,
    copy: RequestCopy,
}

impl<B: 'static> Again<B> {
    /// Copies the request. `None` when its body is streamed.
    pub(super) fn copy(request: &Request<B>, clients: &Arc<Clients<B>>) -> Option<Box<Self>> {
        RequestCopy::of(request, |_| false).map(|copy| {
            Box::new(Self { called: Instant::now(), copy, clients: Arc::clone(clients) })
        })
    }

    /// Whether the request may be sent again after it failed in this way.
    pub(super) fn is_allowed(&self, error: &legacy::Error) -> bool {
        let Some(watch) = watch_of(error) else { return false };
        match watch.progress(self.called) {
            Progress::NewConnection | Progress::ResponseBegun => false,
            Progress::Shared if was_refused(error) => !self.copy.is_stateful(),
            Progress::Shared if was_waiting(error) => self.copy.is_stateless(),
            Progress::Shared | Progress::NoResponse => {
                was_closed(error) && self.is_within_window() && self.copy.is_stateless()
            }
        }
    }

    fn is_within_window(&self) -> bool {
        let window = self.clients.retry_window;
        !window.is_zero() && self.called.elapsed() <= window
    }
}

impl<B> Again<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Sends the copy on a new connection, as one more attempt.
    pub(super) fn send(&self) -> Option<legacy::ResponseFuture> {
        let mut request = self.copy.request()?;
        if let Some(context) = self.copy.context() {
            context.repeat_attempt(&mut request);
        }
        Some(self.clients.unpooled.request(request))
    }
}

impl<B> fmt::Debug for Again<B> {
    // Without its header fields, which hold the upstream's token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").finish_non_exhaustive()
    }
}

/// The state of the connection that a request failed on. `None` without a connection.
fn watch_of(error: &legacy::Error) -> Option<Arc<Watch>> {
    let mut extensions = Extensions::new();
    error.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

/// Whether the connection ended without a response, by its end or by an error of the socket.
fn was_closed(error: &legacy::Error) -> bool {
    causes(error).any(|cause| {
        cause.is::<io::Error>()
            || cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message)
    })
}

/// Whether HTTP/2 said that the request was not processed: by `REFUSED_STREAM`, or by a `GOAWAY`
/// with a last stream below the request's (RFC 9113 section 8.7). h2 fails only streams beyond the
/// last one with the `GOAWAY` itself; the others end with the connection, which is an I/O error.
fn was_refused(error: &legacy::Error) -> bool {
    causes(error).filter_map(<dyn StdError>::downcast_ref::<h2::Error>).any(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

/// Whether the request waited for an HTTP/2 stream when the connection ended. hyper drops such a
/// request. It has sent nothing of it or the head alone.
fn was_waiting(error: &legacy::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_user))
}
