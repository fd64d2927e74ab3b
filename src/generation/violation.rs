use crate::{
    payload::Pointer,
    rejection::{Refusal, Rejection, Violation},
};

/// Returns the rejection of the value at a pointer.
pub(crate) fn violation(pointer: &Pointer, keyword: &'static str, detail: &str) -> Rejection {
    violation_at(pointer.to_string(), keyword, detail)
}

/// Returns the rejection of the value at a pointer. Its detail begins with the pointer, because many
/// clients show only the detail.
pub(crate) fn violation_at(
    pointer: String,
    keyword: &'static str,
    detail: impl Into<String>,
) -> Rejection {
    let violation = Violation::new(pointer, keyword, detail);
    let detail = [&violation.pointer, ": ", &violation.detail].concat();
    Rejection::new(Refusal::InvalidPayload).with_detail(detail).with_violations(vec![violation])
}
