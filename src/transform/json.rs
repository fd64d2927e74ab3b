mod alias;
mod clamp;
mod system;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use bytes::Bytes;
use http::HeaderMap;

pub use self::{alias::ModelAliases, system::SystemMessage};
use self::{clamp::Clamp, system::Injection};
use super::layer::TransformLayer;
use crate::{
    generation::{AskForUsage, OutputTokens},
    model::{Profile, Takes},
    payload::{
        ContentKind, DocumentError, EditError, Edits, Literal, Payload, Pointer, json_required,
    },
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

/// The request around a body that is edited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    /// Whether a body that is neither JSON nor text passes as it is.
    pub(super) binary: bool,
    pub(super) profile: &'a Profile,
}

/// Applies edits that follow one another. Where there is no body, there is nothing to edit.
pub(super) fn apply(
    edits: &[JsonEdit],
    payload: &Payload,
    around: Around<'_>,
) -> Result<Edited, Rejection> {
    for edit in edits {
        if let JsonEdit::OutputTokens(tokens) = edit {
            tokens.apply_to_query(around.query)?;
        }
    }
    if around.binary {
        match ContentKind::of(around.headers, payload.bytes()) {
            ContentKind::Binary => return Ok(Edited::default()),
            ContentKind::Text if payload.bytes().is_none_or(|bytes| !bytes.is_empty()) => {
                return Err(json_required());
            }
            ContentKind::Text | ContentKind::Json => {}
        }
    }
    let document = match payload.document() {
        Ok(document) => document,
        Err(DocumentError::Empty) => return Ok(Edited::default()),
        Err(error) => return Err(error.rejection()),
    };
    let takes = around.profile.takes(around.path);
    let mut document = document.edit();
    let mut hide_usage = false;
    for edit in edits {
        hide_usage |= edit.apply(&mut document, takes, around.profile)?;
    }
    Ok(Edited { bytes: document.finish(), hide_usage })
}

impl JsonEdit {
    /// Whether the upstream was asked for a usage chunk that the caller did not ask for.
    fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        takes: Takes,
        profile: &Profile,
    ) -> Result<bool, Rejection> {
        match self {
            Self::Default(pointer, value) => edits.set_default(pointer, value).map(drop),
            Self::Override(pointer, value) => edits.set(pointer, value),
            Self::Remove(pointer) => edits.remove(pointer).map(drop),
            Self::Clamp(clamp) => return clamp.apply(edits).map(|()| false),
            Self::OutputTokens(tokens) => {
                return tokens.apply(edits, takes, profile.limit_of_chats()).map(|_| false);
            }
            Self::Aliases(aliases) => return aliases.apply(edits).map(|()| false),
            Self::System(injection) => return injection.apply(edits).map(|()| false),
            Self::AskForUsage(_) if !profile.asks_for_usage() => return Ok(false),
            Self::AskForUsage(usage) => return usage.apply(edits, takes),
        }
        .map(|()| false)
        .map_err(EditError::rejection)
    }
}

/// Edits of the body's JSON. They leave every byte that they do not touch as it was.
///
/// A request without a body passes as it is; one whose body is streamed is refused with 415. `null`
/// counts as missing. Objects that are missing on the way of a pointer are made, elements of arrays
/// are not. Refused with `invalid-payload` and the pointer: a body, or a value on the way, that is
/// not an object; and a name that differs in case only from one that an edit leads through, for
/// some upstreams (Go's `encoding/json`) take the one for the other. What an edit would bring
/// beyond the bounds of the payload's depth and nodes is refused with `payload-too-large`; the
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

    /// Limits the tokens that the upstream generates to `most`, at least one, in every form that a
    /// body has.
    ///
    /// The path tells the form, as the [profile](Self::profile) has it. Where a route takes several,
    /// the body tells it:
    ///
    /// | path ends with | form of the body | its limit, put in where it is missing |
    /// |---|---|---|
    /// | `/chat/completions` | chat | `max_tokens` or `max_completion_tokens`, as the profile says, unless either is there |
    /// | `/completions`, `/completion`, `/infill` | completion | `max_tokens` |
    /// | `/responses` | response | `max_output_tokens` |
    /// | `/messages` | message of Anthropic | `max_tokens` |
    /// | `/generate`, `/generate_stream` | TGI's, or with `text` or `input_ids` SGLang's, or with `prompt` a completion | `parameters.max_new_tokens`; `sampling_params.max_new_tokens`; `max_tokens` |
    /// | `/`, `/invocations`, `/vertex`, `/models/{model}`, `/pipeline/{task}` | with `messages` a chat, with `prompt` a completion, with text in `inputs` TGI's; with `instances` one of these for each | as above |
    /// | `/predict` | the same, where there are `parameters` | as above |
    ///
    /// Where the profile says that the model [generates nothing](crate::model::Profile::generates_nothing),
    /// a body with `inputs` is left alone. A route of your own gets the form that
    /// [`Profile::route`](crate::model::Profile::route) names.
    ///
    /// A body that fits several forms gets the limit of each. In a body of a known form, each
    /// output limit of any known party is cut to `most`, at the top and in objects such as `parameters`,
    /// `options` and `generationConfig`. A number within the limit stays as it was written. One below
    /// 1, which some upstreams take for "without limit", and what is not a number are refused with 422
    /// `invalid-payload`. So are a body that is no object, `parameters` that are none, and more than
    /// 128 `instances`.
    ///
    /// A body of an unknown form is not edited. It is refused where it has a known output limit
    /// that is greater than `most`; without one, the upstream's own default applies. A limit in
    /// the query that is greater is refused with 400 `invalid-parameters`. Routes that generate no
    /// text, such as `/embeddings` and `/rerank`, are left alone.
    ///
    /// An upstream that does not know the name that the caller chose ignores it: [remove](Self::remove_json)
    /// that name before.
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

    /// Lets bodies pass unedited that are neither JSON nor text: images, sounds, files. Text other than
    /// JSON is refused with 415. Without this, every body that is not JSON is refused.
    ///
    /// For routes that take either, under a [`PayloadLayer::bytes`](crate::payload::PayloadLayer::bytes).
    #[must_use]
    pub const fn binary_bodies(mut self) -> Self {
        self.binary = true;
        self
    }

    /// Asks the upstream of a stream for its usage (`stream_options.include_usage`). Where the
    /// caller did not ask, the chunk that tells it is hidden again from the answer.
    ///
    /// Chats and completions are asked, by the path and the form of the body as in
    /// [`output_tokens`](Self::output_tokens), where `stream` is `true`; none where the
    /// [profile](Self::profile) says that its upstream is not to be asked. What is neither a truth value
    /// nor `null` there is refused, for some upstreams take `1` or `"true"` for it. OpenAI's responses
    /// tell their usage without being asked, and refuse a request that asks.
    #[must_use]
    pub fn include_usage(self) -> Self {
        self.json(JsonEdit::AskForUsage(AskForUsage::new()))
    }
}
