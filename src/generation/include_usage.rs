use super::violation::violation;
use crate::{
    model::{Form, Takes},
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Requests the usage of a stream.
#[derive(Clone, Debug)]
pub(crate) struct IncludeUsage {
    messages: Pointer,
    prompt: Pointer,
    stream: Pointer,
    include_usage: Pointer,
    yes: Literal,
}

impl IncludeUsage {
    pub(crate) fn new() -> Self {
        Self {
            messages: Pointer::new(["messages"]),
            prompt: Pointer::new(["prompt"]),
            stream: Pointer::new(["stream"]),
            include_usage: Pointer::new(["stream_options", "include_usage"]),
            yes: Literal::from(true),
        }
    }

    /// Requests the usage unless the client did. Returns whether it was added.
    ///
    /// Only chats and completions have the member. OpenAI's responses and Anthropic's messages report
    /// their usage without it and reject it.
    pub(crate) fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        takes: Takes,
    ) -> Result<bool, Rejection> {
        if !self.is_supported(edits, takes)? {
            return Ok(false);
        }
        let adds = flag(edits, &self.stream)? && !flag(edits, &self.include_usage)?;
        if adds {
            edits.set(&self.include_usage, &self.yes).map_err(EditError::rejection)?;
        }
        Ok(adds)
    }

    fn is_supported(&self, edits: &mut Edits<'_>, takes: Takes) -> Result<bool, Rejection> {
        let mut has =
            |mark| edits.get(mark).map(|node| node.is_some()).map_err(EditError::rejection);
        Ok(match takes {
            Takes::One(form) => matches!(form, Form::Chat | Form::Completion),
            Takes::Any { .. } | Takes::Predict { .. } => has(&self.messages)? || has(&self.prompt)?,
            Takes::Sampled | Takes::Unknown => false,
        })
    }
}

/// Returns a boolean. A missing one is false.
fn flag(edits: &mut Edits<'_>, pointer: &Pointer) -> Result<bool, Rejection> {
    match edits.get(pointer).map_err(EditError::rejection)? {
        None => Ok(false),
        Some(node) => {
            node.as_bool().ok_or_else(|| violation(pointer, "type", "must be true or false"))
        }
    }
}
