//! Gives the access log the scrubber of the token layer in either order of the calls.

use tower_layer::Identity as Unset;

#[cfg(feature = "access-log")]
use crate::access_log::AccessLogLayer;
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;

/// The slot of the access log.
pub trait AccessLogSlot: sealed::Sealed {
    /// Returns the slot with a log that scrubs the token.
    #[cfg(feature = "hf")]
    #[doc(hidden)]
    #[must_use]
    fn without(self, token: &HfTokenLayer) -> Self;
}

/// The slot of the token.
pub trait HfTokenSlot: sealed::Sealed {
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
impl AccessLogSlot for AccessLogLayer {
    #[cfg(feature = "hf")]
    fn without(self, token: &HfTokenLayer) -> Self {
        self.scrubber(token.scrubber())
    }
}

#[cfg(feature = "hf")]
impl HfTokenSlot for HfTokenLayer {
    #[cfg(feature = "access-log")]
    fn keep_out_of(&self, log: AccessLogLayer) -> AccessLogLayer {
        log.scrubber(self.scrubber())
    }
}

mod sealed {
    use super::Unset;

    #[expect(unnameable_types, reason = "the slots are a closed set of types")]
    pub trait Sealed {}

    impl Sealed for Unset {}
    #[cfg(feature = "access-log")]
    impl Sealed for super::AccessLogLayer {}
    #[cfg(feature = "hf")]
    impl Sealed for super::HfTokenLayer {}
}
