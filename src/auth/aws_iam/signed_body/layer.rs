use std::time::Duration;

use tower_layer::Layer;

use super::{service::HoldSignedBody, shared::ReadBounds};
use crate::memory_limit::MemoryLimit;

/// A [`Layer`] that lets `AuthLayer` hash the bodies of requests with an AWS signature.
///
/// It stands outside of `AuthLayer`, of routers that cut the path and of every layer that reads the
/// body. Its inner service receives `Request<SignedBody<B>>`. Requests without an AWS signature pass
/// unchanged and cost one look at their head.
///
/// A body without `x-amz-content-sha256` is read as a whole before the signature is verified. The
/// bounds of this layer apply to such bodies alone.
#[derive(Clone, Debug)]
pub struct SignedBodyLayer {
    bounds: ReadBounds,
}

impl SignedBodyLayer {
    /// Creates a layer with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self { bounds: ReadBounds::default() }
    }

    /// Sets the maximum size of a body that is read before its signature is verified. Defaults to 10
    /// MiB. Larger bodies are rejected with `payload-too-large`.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_bytes = bytes;
        self
    }

    /// Sets the maximum time in which such a body arrives. Defaults to 30 seconds. Slower bodies are
    /// rejected with `payload-timeout`.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.timeout = timeout;
        self
    }

    /// Sets the memory limit that all such bodies share. Defaults to 256 MiB for this layer. Bodies
    /// beyond it are rejected with `overloaded`.
    ///
    /// Anyone who knows an access key id can fill it without a signature. Do not give it the limit of a
    /// layer behind `AuthLayer`, whose bodies come from known callers.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.bounds.memory = limit;
        self
    }
}

impl Default for SignedBodyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SignedBodyLayer {
    type Service = HoldSignedBody<S>;

    fn layer(&self, inner: S) -> HoldSignedBody<S> {
        HoldSignedBody::from_parts(inner, self.bounds.clone())
    }
}
