//! Tells the operator why active tokens are rejected.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::requirements::{Refused, Requirements};
use crate::auth::fetch::short;

/// Logs rejected tokens that the issuer vouches for. The first one of another issuer or audience is a
/// warning until a token was accepted, because a wrong setting is then the likelier cause.
///
/// Each response of the endpoint is one line. The cache of responses bounds the lines of one token.
#[derive(Debug, Default)]
pub(super) struct RejectionLog {
    accepted: AtomicBool,
    warned: AtomicBool,
}

impl RejectionLog {
    /// Notes that the settings fit the issuer.
    pub(super) fn accepted(&self) {
        self.accepted.store(true, Relaxed);
    }

    pub(super) fn rejected(&self, refused: &Refused, requirements: &Requirements) {
        let (name, expected, received) = match refused {
            Refused::Issuer { received } => ("iss", short(&requirements.issuer), short(received)),
            Refused::Audience { received } => {
                let ours = requirements.audiences.as_deref().unwrap_or_default().join(", ");
                ("aud", short(ours), short(received.join(", ")))
            }
            other => {
                tracing::info!(reason = %short(other), issuer = %short(&requirements.issuer), "an active token is rejected");
                return;
            }
        };
        if self.accepted.load(Relaxed) || self.warned.swap(true, Relaxed) {
            tracing::info!(member = name, %expected, %received, "an active token is rejected");
        } else {
            tracing::warn!(
                member = name, %expected, %received,
                "an active token is rejected; check Introspection::new and additional_audiences"
            );
        }
    }
}
