use super::violation;
use crate::{
    model::{Form, Takes},
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Asks for the usage of a stream.
#[derive(Clone, Debug)]
pub(crate) struct AskForUsage {
    messages: Pointer,
    prompt: Pointer,
    stream: Pointer,
    include_usage: Pointer,
    yes: Literal,
}

impl AskForUsage {
    pub(crate) fn new() -> Self {
        Self {
            messages: Pointer::new(["messages"]),
            prompt: Pointer::new(["prompt"]),
            stream: Pointer::new(["stream"]),
            include_usage: Pointer::new(["stream_options", "include_usage"]),
            yes: Literal::from(true),
        }
    }

    /// True when the caller did not ask. Only chats and completions are asked: OpenAI's responses and
    /// Anthropic's messages tell their usage, and refuse to be asked.
    pub(crate) fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        takes: Takes,
    ) -> Result<bool, Rejection> {
        if !self.may_ask(edits, takes)? {
            return Ok(false);
        }
        let asks = flag(edits, &self.stream)? && !flag(edits, &self.include_usage)?;
        if asks {
            edits.set(&self.include_usage, &self.yes).map_err(EditError::rejection)?;
        }
        Ok(asks)
    }

    fn may_ask(&self, edits: &mut Edits<'_>, takes: Takes) -> Result<bool, Rejection> {
        let mut has =
            |mark| edits.get(mark).map(|node| node.is_some()).map_err(EditError::rejection);
        Ok(match takes {
            Takes::One(form) => matches!(form, Form::Chat | Form::Completion),
            Takes::Any { .. } | Takes::Predict { .. } => has(&self.messages)? || has(&self.prompt)?,
            Takes::Sampled | Takes::Unknown => false,
        })
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
