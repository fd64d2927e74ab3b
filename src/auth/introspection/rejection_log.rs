//! Tells the operator why active tokens are rejected.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use super::requirements::{Refused, Requirements};
use crate::{auth::line_budget::LineBudget, fetch::short};

/// Logs rejected tokens that the issuer vouches for. The first one of another issuer or audience is a
/// warning until a token was accepted, because a wrong setting is then the likelier cause.
///
/// The lines are bounded.
#[derive(Debug, Default)]
pub(super) struct RejectionLog {
    accepted: AtomicBool,
    warned: AtomicBool,
    lines: LineBudget,
}

impl RejectionLog {
    /// Notes that the settings fit the issuer.
    pub(super) fn accepted(&self) {
        self.accepted.store(true, Relaxed);
    }

    pub(super) fn rejected(&self, refused: &Refused, requirements: &Requirements, now: Duration) {
        let is_mismatch = matches!(refused, Refused::Issuer { .. } | Refused::Audience { .. });
        let is_first =
            is_mismatch && !self.accepted.load(Relaxed) && !self.warned.swap(true, Relaxed);
        let Some(suppressed) = self.lines.take(now, is_first) else { return };
        let suppressed = (suppressed > 0).then_some(suppressed);
        let (name, expected, received) = match refused {
            Refused::Issuer { received } => ("iss", short(&requirements.issuer), short(received)),
            Refused::Audience { received } => {
                let ours = requirements.audiences.as_deref().unwrap_or_default().join(", ");
                ("aud", short(ours), short(received.join(", ")))
            }
            other => {
                let (reason, issuer) = (short(other), short(&requirements.issuer));
                tracing::info!(%reason, %issuer, suppressed, "an active token is rejected");
                return;
            }
        };
        if !is_first {
            tracing::info!(
                member = name, %expected, %received, suppressed,
                "an active token is rejected"
            );
        } else {
            tracing::warn!(
                member = name, %expected, %received,
                "an active token is rejected; check Introspection::new and additional_audiences"
            );
        }
    }
}
