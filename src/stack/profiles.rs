//! Finds layers of one stack that describe different upstreams.

use tower_layer::Identity as Unset;

use super::slot::{Optional, sealed::Sealed};
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;
#[cfg(feature = "transform")]
use crate::transform::TransformLayer;
use crate::{model::Profile, route::RouteLayer};

/// The slot of a layer that takes a profile.
pub trait ProfileSlot: Sealed {
    /// Returns the profile of the routes.
    #[doc(hidden)]
    fn profile(&self) -> Option<&Profile> {
        None
    }

    /// Logs that the layer follows another profile than the routes.
    #[doc(hidden)]
    fn compare(&self, _routes: &Profile) {}
}

impl ProfileSlot for Unset {}

impl ProfileSlot for Optional<RouteLayer> {
    fn profile(&self) -> Option<&Profile> {
        self.0.as_ref().and_then(RouteLayer::profile)
    }
}

#[cfg(feature = "transform")]
impl ProfileSlot for Optional<TransformLayer> {
    // Without this feature there is no log.
    #[cfg(feature = "hf")]
    fn compare(&self, routes: &Profile) {
        if self.0.as_ref().is_some_and(|layer| layer.contradicts(routes)) {
            tracing::warn!(
                "TransformLayer and RouteLayer have different profiles; give TransformLayer::profile \
                 the profile of RouteLayer::new, or the upstream may reject the names in bodies"
            );
        }
    }
}

#[cfg(feature = "hf")]
impl ProfileSlot for Optional<HfTokenLayer> {
    fn compare(&self, routes: &Profile) {
        let Some(layer) = &self.0 else { return };
        let (sent, expected) = (layer.token_header(), routes.token_header_name());
        if sent != expected {
            tracing::warn!(
                %sent,
                %expected,
                "HfTokenLayer sends the token in another header than the profile of RouteLayer names; \
                 give HfTokenLayer::profile the same profile"
            );
        }
    }
}
