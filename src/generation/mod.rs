//! What bodies and answers say of generation, for the layers that hold it to bounds: how many tokens
//! may come out, and the usage of a stream, which is asked for and hidden again.

mod ask;
mod hide;
mod limits;
mod names;
mod query;
mod read;

#[cfg(feature = "transform")]
pub(crate) use self::read::compare;
pub(crate) use self::{
    ask::AskForUsage,
    hide::{HideUsage, is_event_stream},
    limits::OutputTokens,
};
use crate::{
    payload::Pointer,
    rejection::{Refusal, Rejection, Violation},
};

/// The refusal of a value that nobody can work with.
pub(crate) fn violation(pointer: &Pointer, keyword: &'static str, detail: &str) -> Rejection {
    violation_at(pointer.to_string(), keyword, detail)
}

/// The refusal of a value at a pointer. Its detail names the place, because clients show no more.
pub(crate) fn violation_at(
    pointer: String,
    keyword: &'static str,
    detail: impl Into<String>,
) -> Rejection {
    let violation = Violation::new(pointer, keyword, detail);
    let detail = [&violation.pointer, ": ", &violation.detail].concat();
    Rejection::new(Refusal::InvalidPayload).with_detail(detail).with_violations(vec![violation])
}
