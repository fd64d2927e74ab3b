//! What bodies and answers say of generation, for the layers that hold it to bounds: how many tokens
//! may come out, and the usage of a stream, which is asked for and hidden again.

mod ask;
mod hide;
mod limits;

#[cfg(feature = "transform")]
pub(crate) use self::limits::compare;
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
    let violation = Violation::new(pointer.to_string(), keyword, detail);
    Rejection::new(Refusal::SchemaViolation).with_violations(vec![violation])
}
