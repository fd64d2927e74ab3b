use crate::rejection::{Refusal, Rejection};

/// The rejection of a coded body that ends too early, or has no bytes at all.
pub(crate) fn too_short() -> Rejection {
    Rejection::new(Refusal::MalformedPayload)
        .with_detail("content-encoding: the coded body ends too early")
}
