//! Stands for the digest of a request body where no feature needs it.

use http_body::Frame;

#[derive(Debug)]
pub(super) struct OpenDigest;

impl OpenDigest {
    pub(super) const fn none() -> Self {
        Self
    }

    pub(super) const fn take<D, E>(&mut self, _next: &Option<Result<Frame<D>, E>>, _ended: bool) {}

    pub(super) const fn note_empty(&self) {}
}
