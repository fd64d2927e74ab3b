//! The digest of a request body that is still being read.

use std::io::IoSlice;

use bytes::Buf;
use http_body::Frame;

use crate::{context::RequestContext, sha256::Hasher};

/// The hash of the bytes so far and the context that takes it. `None` when no sink wants it, and
/// once it is taken. Boxed because few layers have such a sink.
#[derive(Default)]
pub(super) struct OpenDigest(Option<Box<Open>>);

struct Open {
    taker: RequestContext,
    /// `None` before the first byte.
    hasher: Option<Hasher>,
}

impl OpenDigest {
    /// Slices of one frame. Frames of common servers have one.
    const SLICES: usize = 16;

    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(taker: Option<RequestContext>) -> Self {
        Self(taker.map(|taker| Box::new(Open { taker, hasher: None })))
    }

    /// Hashes a frame. `ended` says that no frame follows.
    pub(super) fn take<D: Buf, E>(&mut self, next: &Option<Result<Frame<D>, E>>, ended: bool) {
        let Some(open) = &mut self.0 else { return };
        let is_whole = match next {
            Some(Ok(frame)) => frame.data_ref().is_none_or(|data| open.hash(data)),
            Some(Err(_)) => false,
            None => true,
        };
        if !is_whole {
            self.0 = None;
        } else if (ended || next.is_none())
            && let Some(open) = self.0.take()
        {
            open.taker.set_payload_digest(open.hasher.map(Hasher::finish));
        }
    }

    /// Notes that the body has ended if no byte of it was read.
    pub(super) fn note_empty(&self) {
        if let Some(open) = &self.0
            && open.hasher.is_none()
        {
            open.taker.set_payload_digest(None);
        }
    }
}

impl Open {
    /// Returns false for data in more slices than can be seen without consuming it.
    fn hash(&mut self, data: &impl Buf) -> bool {
        let length = data.remaining();
        if length == 0 {
            return true;
        }
        let hasher = self.hasher.get_or_insert_default();
        if data.chunk().len() == length {
            hasher.update(data.chunk());
            return true;
        }
        let mut slices = [IoSlice::new(&[]); OpenDigest::SLICES];
        let count = data.chunks_vectored(&mut slices);
        let seen = || slices.iter().take(count);
        seen().for_each(|slice| hasher.update(slice));
        seen().map(|slice| slice.len()).sum::<usize>() == length
    }
}

impl std::fmt::Debug for OpenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenDigest").finish()
    }
}
