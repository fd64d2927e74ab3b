//! Gives the access log the scrubbers of the layers that have tokens, in any order of the calls.

use tower_layer::Identity as Unset;

#[cfg(any(feature = "access-log", feature = "hf"))]
use super::slot::Optional;
use super::slot::sealed::Sealed;
#[cfg(feature = "access-log")]
use crate::access_log::AccessLogLayer;
#[cfg(feature = "fallback")]
use crate::fallback::FallbackLayer;
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;
#[cfg(any(feature = "access-log", feature = "hf"))]
use crate::secret::Scrubber;

/// The slot of the access log.
pub trait AccessLogSlot: Sealed {
    /// Returns the slot with a log that scrubs these tokens too.
    #[cfg(feature = "hf")]
    #[doc(hidden)]
    #[must_use]
    fn without(self, tokens: impl FnOnce() -> Option<Scrubber>) -> Self;
}

/// The slot of a layer that has tokens.
pub trait TokenSlot: Sealed {
    /// Returns the scrubber of the tokens.
    #[cfg(feature = "access-log")]
    #[doc(hidden)]
    fn tokens(&self) -> Option<Scrubber>;
}

impl AccessLogSlot for Unset {
    #[cfg(feature = "hf")]
    fn without(self, _: impl FnOnce() -> Option<Scrubber>) -> Self {
        self
    }
}

impl TokenSlot for Unset {
    #[cfg(feature = "access-log")]
    fn tokens(&self) -> Option<Scrubber> {
        None
    }
}

#[cfg(feature = "access-log")]
impl AccessLogSlot for Optional<AccessLogLayer> {
    #[cfg(feature = "hf")]
    fn without(self, tokens: impl FnOnce() -> Option<Scrubber>) -> Self {
        Self(self.0.map(|log| match tokens() {
            Some(tokens) => log.scrubber(tokens),
            None => log,
        }))
    }
}

#[cfg(feature = "hf")]
impl TokenSlot for Optional<HfTokenLayer> {
    #[cfg(feature = "access-log")]
    fn tokens(&self) -> Option<Scrubber> {
        self.0.as_ref().map(HfTokenLayer::scrubber)
    }
}

#[cfg(feature = "fallback")]
impl TokenSlot for Optional<FallbackLayer> {
    #[cfg(feature = "access-log")]
    fn tokens(&self) -> Option<Scrubber> {
        self.0.as_ref().map(FallbackLayer::scrubber)
    }
}
