//! Finds layers of one stack that contradict its routes.

use tower_layer::Identity as Unset;

use super::slot::{Optional, sealed::Sealed};
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;
use crate::route::RouteLayer;
#[cfg(feature = "schema")]
use crate::schema::SchemaLayer;
#[cfg(feature = "transform")]
use crate::transform::TransformLayer;

/// The slot of the routes, or of a layer whose settings depend on them.
pub trait ComparedSlot: Sealed {
    #[doc(hidden)]
    fn routes(&self) -> Option<&RouteLayer> {
        None
    }

    /// Logs that the layer contradicts the routes.
    #[doc(hidden)]
    fn compare(&self, _routes: &RouteLayer) {}
}

impl ComparedSlot for Unset {}

/// Returns a layer after its comparison with the routes of its stack.
#[cfg(any(feature = "hf", feature = "schema", feature = "transform"))]
pub(super) fn compared<L>(layer: Option<L>, routes: &impl ComparedSlot) -> Option<L>
where
    Optional<L>: ComparedSlot,
{
    let layer = Optional(layer);
    if let Some(routes) = routes.routes() {
        layer.compare(routes);
    }
    layer.0
}

impl ComparedSlot for Optional<RouteLayer> {
    fn routes(&self) -> Option<&RouteLayer> {
        self.0.as_ref()
    }
}

#[cfg(feature = "schema")]
impl ComparedSlot for Optional<SchemaLayer> {
    fn compare(&self, routes: &RouteLayer) {
        for name in self.0.iter().flat_map(SchemaLayer::route_names) {
            if !routes.has_name(name) {
                tracing::warn!(
                    route = name,
                    "SchemaLayer::route names a route that RouteLayer does not have, so its schema is \
                     never used; the name of a known route is its path, such as /v1/chat/completions, \
                     and RouteLayer::route gives other names"
                );
            }
        }
    }
}

#[cfg(feature = "transform")]
impl ComparedSlot for Optional<TransformLayer> {
    // Without this feature there is no log.
    #[cfg(feature = "hf")]
    fn compare(&self, routes: &RouteLayer) {
        let (Some(layer), Some(profile)) = (&self.0, routes.profile()) else { return };
        if layer.contradicts(profile) {
            tracing::warn!(
                "TransformLayer and RouteLayer have different profiles; give TransformLayer::profile \
                 the profile of RouteLayer::new, or the upstream may reject the names in bodies"
            );
        }
    }
}

#[cfg(feature = "hf")]
impl ComparedSlot for Optional<HfTokenLayer> {
    fn compare(&self, routes: &RouteLayer) {
        let (Some(layer), Some(profile)) = (&self.0, routes.profile()) else { return };
        let (sent, expected) = (layer.token_header(), profile.token_header_name());
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
