//! Gives the access log the scrubber of the token layer in either order of the calls.

use tower_layer::Identity as Unset;

#[cfg(any(feature = "access-log", feature = "hf"))]
use super::slot::Optional;
use super::slot::sealed::Sealed;
#[cfg(feature = "access-log")]
use crate::access_log::AccessLogLayer;
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;

/// The slot of the access log.
pub trait AccessLogSlot: Sealed {
    /// Returns the slot with a log that scrubs the token.
    #[cfg(feature = "hf")]
    #[doc(hidden)]
    #[must_use]
    fn without(self, token: &HfTokenLayer) -> Self;
}

/// The slot of the token.
pub trait HfTokenSlot: Sealed {
    /// Returns `log` with the scrubber of the token.
    #[cfg(feature = "access-log")]
    #[doc(hidden)]
    #[must_use]
    fn keep_out_of(&self, log: AccessLogLayer) -> AccessLogLayer;
}

impl AccessLogSlot for Unset {
    #[cfg(feature = "hf")]
    fn without(self, _: &HfTokenLayer) -> Self {
        self
    }
}

impl HfTokenSlot for Unset {
    #[cfg(feature = "access-log")]
    fn keep_out_of(&self, log: AccessLogLayer) -> AccessLogLayer {
        log
    }
}

#[cfg(feature = "access-log")]
impl AccessLogSlot for Optional<AccessLogLayer> {
    #[cfg(feature = "hf")]
    fn without(self, token: &HfTokenLayer) -> Self {
        Self(self.0.map(|log| log.scrubber(token.scrubber())))
    }
}

#[cfg(feature = "hf")]
impl HfTokenSlot for Optional<HfTokenLayer> {
    #[cfg(feature = "access-log")]
    fn keep_out_of(&self, log: AccessLogLayer) -> AccessLogLayer {
        match &self.0 {
            Some(token) => log.scrubber(token.scrubber()),
            None => log,
        }
    }
}
