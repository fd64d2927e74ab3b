use super::violation;
use crate::{
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Asks for the usage of a stream.
#[derive(Clone, Debug)]
pub(crate) struct AskForUsage {
    stream: Pointer,
    include_usage: Pointer,
    yes: Literal,
}

impl AskForUsage {
    pub(crate) fn new() -> Self {
        Self {
            stream: Pointer::new(["stream"]),
            include_usage: Pointer::new(["stream_options", "include_usage"]),
            yes: Literal::from(true),
        }
    }

    /// True when the caller did not ask.
    pub(crate) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<bool, Rejection> {
        let asks = flag(edits, &self.stream)? && !flag(edits, &self.include_usage)?;
        if asks {
            edits.set(&self.include_usage, &self.yes).map_err(EditError::rejection)?;
        }
        Ok(asks)
    }
}

/// A truth value; false where it is missing.
fn flag(edits: &mut Edits<'_>, pointer: &Pointer) -> Result<bool, Rejection> {
    match edits.get(pointer).map_err(EditError::rejection)? {
        None => Ok(false),
        Some(node) => {
            node.as_bool().ok_or_else(|| violation(pointer, "type", "must be true or false"))
        }
    }
}
