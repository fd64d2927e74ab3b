//! The responses to rejected signatures.

use std::time::Duration;

use super::{fault::SigV4Fault, presented::ALGORITHM};
use crate::{
    auth::failure::Failure,
    rejection::{Refusal, Rejection},
};

/// Returns the response. An unknown access key, a wrong session token and a wrong signature have the
/// same one.
pub(super) fn failure(fault: SigV4Fault) -> Failure {
    let (refusal, detail) = match fault {
        SigV4Fault::NoSignedBodyLayer => {
            // Nothing that the client can do about it.
            return Rejection::new(Refusal::Misconfigured).into();
        }
        SigV4Fault::StoreUnavailable => {
            return Rejection::new(Refusal::IdentityProviderUnavailable)
                .with_detail("the signature cannot be checked now; retry later")
                .with_retry_after(Duration::from_secs(1))
                .into();
        }
        SigV4Fault::ReplaysFull => {
            return Rejection::new(Refusal::Overloaded)
                .with_detail("too many signed requests; retry later")
                .with_retry_after(Duration::from_secs(60))
                .into();
        }
        SigV4Fault::SeveralCredentials => {
            (Refusal::InvalidRequest, "expected one credential".into())
        }
        SigV4Fault::AccessKey | SigV4Fault::SessionToken | SigV4Fault::Signature => {
            (Refusal::InvalidSignature, SigV4Fault::Signature.to_string())
        }
        fault => (Refusal::InvalidSignature, fault.to_string()),
    };
    Failure::challenge(Rejection::new(refusal).with_detail(detail), ALGORITHM, None)
}
