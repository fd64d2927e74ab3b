//! Finds conditions that no caller of a stack can meet.

use tower_layer::Identity as Unset;

#[cfg(any(feature = "auth", feature = "model-rules"))]
use super::slot::Optional;
use super::slot::sealed::Sealed;
#[cfg(feature = "auth")]
use crate::auth::AuthLayer;
#[cfg(feature = "model-rules")]
use crate::model_rules::ModelRulesLayer;

/// The slot of authentication, or of the rules for models.
pub trait CallerSlot: Sealed {
    #[cfg(feature = "auth")]
    #[doc(hidden)]
    fn auth(&self) -> Option<&AuthLayer> {
        None
    }

    #[cfg(feature = "model-rules")]
    #[doc(hidden)]
    fn model_rules(&self) -> Option<&ModelRulesLayer> {
        None
    }
}

impl CallerSlot for Unset {}

#[cfg(feature = "auth")]
impl CallerSlot for Optional<AuthLayer> {
    fn auth(&self) -> Option<&AuthLayer> {
        self.0.as_ref()
    }
}

#[cfg(feature = "model-rules")]
impl CallerSlot for Optional<ModelRulesLayer> {
    fn model_rules(&self) -> Option<&ModelRulesLayer> {
        self.0.as_ref()
    }
}

/// Logs a rule for models that asks for what no credential has. It would never apply.
#[cfg(all(feature = "auth", feature = "model-rules"))]
pub(super) fn compare(auth: &impl CallerSlot, model_rules: &impl CallerSlot) {
    let (Some(auth), Some(model_rules)) = (auth.auth(), model_rules.model_rules()) else { return };
    for callers in model_rules.callers() {
        if let Err(error) = auth.check_callers([callers]) {
            tracing::warn!(%error, "a rule of ModelRulesLayer never applies");
        }
    }
}
