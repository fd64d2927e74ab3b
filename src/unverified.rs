//! Credentials that reach a layer before any layer has verified them. The layer then stands outside of
//! authentication.

#[cfg(any(
    feature = "cache",
    feature = "model-rules",
    feature = "throttle",
    feature = "transform"
))]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The detail of a rejection of such a request.
#[cfg(any(feature = "axum", feature = "throttle", feature = "transform"))]
pub(crate) const DETAIL: &str =
    "no layer of the gateway has verified the credentials of this request";

/// Counts the requests whose credentials a layer found unverified, and logs the first one.
#[cfg(any(
    feature = "cache",
    feature = "model-rules",
    feature = "throttle",
    feature = "transform"
))]
#[derive(Debug, Default)]
pub(crate) struct UnverifiedCredentials(AtomicU64);

#[cfg(any(
    feature = "cache",
    feature = "model-rules",
    feature = "throttle",
    feature = "transform"
))]
impl UnverifiedCredentials {
    /// Counts a request with `authorization` and without the identity that `layer` needs. `problem`
    /// opens the message.
    #[cold]
    pub(crate) fn count(&self, layer: &str, limit: Option<&str>, problem: &str) {
        if self.0.fetch_add(1, Relaxed) > 0 {
            return;
        }
        // Without this feature there is no layer to name.
        #[cfg(feature = "auth")]
        tracing::warn!(
            limit,
            "{problem} a request with `authorization` that no layer has verified; put AuthLayer \
             outside of {layer}: before it in a ServiceBuilder, after it with Router::layer"
        );
        #[cfg(not(feature = "auth"))]
        let _ = (layer, limit, problem);
    }

    #[cfg(feature = "throttle")]
    pub(crate) fn requests(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
