mod alias;
mod clamp;
mod system;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use bytes::Bytes;

pub use self::{alias::ModelAliases, system::SystemMessage};
use self::{clamp::Clamp, system::Injection};
use super::layer::TransformLayer;
use crate::{
    generation::{AskForUsage, OutputTokens},
    payload::{DocumentError, EditError, Edits, Literal, Payload, Pointer},
    rejection::Rejection,
};

/// An edit of the body's document. What it writes was made when the layer was.
#[derive(Clone, Debug)]
pub(super) enum JsonEdit {
    Default(Pointer, Literal),
    Override(Pointer, Literal),
    Remove(Pointer),
    Clamp(Clamp),
    OutputTokens(OutputTokens),
    Aliases(ModelAliases),
    System(Injection),
    AskForUsage(AskForUsage),
}

/// What the edits made of a document.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// The new bytes; `None` when nothing changed.
    pub(super) bytes: Option<Bytes>,
    /// The upstream was asked for a usage chunk that the caller did not ask for.
    pub(super) hide_usage: bool,
}

/// Applies edits that follow one another. Where there is no body, there is nothing to edit.
pub(super) fn apply(edits: &[JsonEdit], payload: &Payload) -> Result<Edited, Rejection> {
    let document = match payload.document() {
        Ok(document) => document,
        Err(DocumentError::Empty) => return Ok(Edited::default()),
        Err(error) => return Err(error.rejection()),
    };
    let mut document = document.edit();
    let mut hide_usage = false;
    for edit in edits {
        hide_usage |= edit.apply(&mut document)?;
    }
    Ok(Edited { bytes: document.finish(), hide_usage })
}

impl JsonEdit {
    /// Whether the upstream was asked for a usage chunk that the caller did not ask for.
    fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<bool, Rejection> {
        match self {
            Self::Default(pointer, value) => edits.set_default(pointer, value).map(drop),
            Self::Override(pointer, value) => edits.set(pointer, value),
            Self::Remove(pointer) => edits.remove(pointer).map(drop),
            Self::Clamp(clamp) => return clamp.apply(edits).map(|()| false),
            Self::OutputTokens(tokens) => return tokens.apply(edits, true).map(|_| false),
            Self::Aliases(aliases) => return aliases.apply(edits).map(|()| false),
            Self::System(injection) => return injection.apply(edits).map(|()| false),
            Self::AskForUsage(usage) => return usage.apply(edits),
        }
        .map(|()| false)
        .map_err(EditError::rejection)
    }
}

/// Edits of the body's JSON. They leave every byte that they do not touch as it was.
///
/// A request without a body passes as it is; one whose body is streamed is refused with 415. `null`
/// counts as missing. Objects that are missing on the way of a pointer are made, elements of arrays
/// are not. Refused with `schema-violation` and the pointer: a body, or a value on the way, that is
/// not an object; and a name that differs in case only from one that an edit leads through, for
/// some upstreams (Go's `encoding/json`) take the one for the other. What an edit would bring
/// beyond the bounds of the payload's depth and nodes is refused with `malformed-payload`; the
/// limit in bytes holds for what the caller sent.
impl TransformLayer {
    /// Puts a value where the caller has none.
    #[must_use]
    pub fn default_json(self, pointer: Pointer, value: impl Into<Literal>) -> Self {
        self.json(JsonEdit::Default(pointer, value.into()))
    }

    /// Puts a value where a pointer leads, whatever the caller has there.
    #[must_use]
    pub fn override_json(self, pointer: Pointer, value: impl Into<Literal>) -> Self {
        self.json(JsonEdit::Override(pointer, value.into()))
    }

    /// Removes the member or element that a pointer leads to, if it is there.
    #[must_use]
    pub fn remove_json(self, pointer: Pointer) -> Self {
        self.json(JsonEdit::Remove(pointer))
    }

    /// Holds a number within a range: one below becomes the least, one above the greatest. Where
    /// none is, none is put: write [`default_json`](Self::default_json) before it for that.
    ///
    /// What is there and not a number, such as `"5"`, is refused. A range from 1 also keeps out
    /// the `-1` that some upstreams take for "without limit".
    #[must_use]
    pub fn clamp_json(self, pointer: Pointer, range: RangeInclusive<i64>) -> Self {
        self.json(JsonEdit::Clamp(Clamp::new(pointer, range)))
    }

    /// Lets the upstream generate at most `most` tokens (at least one), however the body spells it.
    ///
    /// | body with | limited, where there | put, where none of these is |
    /// |---|---|---|
    /// | `messages`, `prompt`, or none of the others | `max_tokens`, `max_completion_tokens` | `max_tokens` |
    /// | `input` | `max_output_tokens` | `max_output_tokens` |
    /// | `inputs` | `parameters.max_new_tokens` | `parameters.max_new_tokens` |
    ///
    /// A body that could be taken for several gets the limit of each. All these names are limited
    /// in any body, and so are `max_new_tokens`, `n_predict` (llama.cpp),
    /// `sampling_params.max_new_tokens` (SGLang), and, in `parameters`, `max_tokens`, `max_length`,
    /// and both lengths in `generation_parameters` and `generate_parameters`. A number that is
    /// within the limit stays as it was written. One below 1, which some upstreams take for
    /// "without limit", and what is not a number are refused.
    ///
    /// For routes that generate text: others may refuse the name. An upstream that does not know
    /// the name that the caller chose ignores it: [remove](Self::remove_json) that name before.
    #[must_use]
    pub fn output_tokens(self, most: u32) -> Self {
        self.json(JsonEdit::OutputTokens(OutputTokens::new(most)))
    }

    /// Replaces the `model` that the caller asks for by a table.
    ///
    /// [`RequestContext::model`](crate::context::RequestContext::model) still says what was asked
    /// for; the upstream's answer says its own name.
    #[must_use]
    pub fn model_aliases(self, aliases: ModelAliases) -> Self {
        self.json(JsonEdit::Aliases(aliases))
    }

    /// Puts a message before all `messages`. A body without that array is refused.
    #[must_use]
    pub fn system_message(self, message: SystemMessage) -> Self {
        self.json(JsonEdit::System(Injection::new(message)))
    }

    /// Asks the upstream of a stream for its usage (`stream_options.include_usage`). Where the
    /// caller did not ask, the chunk that tells it is hidden again from the answer.
    ///
    /// Only where `stream` is `true`; what is neither a truth value nor `null` there is refused,
    /// for some upstreams take `1` or `"true"` for it. For chat and completion: a request to
    /// `/v1/responses` has usage without asking, and is refused by OpenAI when it asks.
    #[must_use]
    pub fn include_usage(self) -> Self {
        self.json(JsonEdit::AskForUsage(AskForUsage::new()))
    }
}
