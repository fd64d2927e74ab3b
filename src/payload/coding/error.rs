use crate::rejection::{Refusal, Rejection};

/// The rejection of a coded body that is truncated or empty.
pub(crate) fn too_short() -> Rejection {
    Rejection::new(Refusal::MalformedPayload)
        .with_detail("content-encoding: the coded body is truncated")
}
