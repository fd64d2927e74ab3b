mod alias;
pub(crate) mod clamp;
mod system;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::HeaderMap;

use self::clamp::Clamp;
pub(crate) use self::system::SystemMessageEdit;
pub use self::{alias::ModelAliases, system::SystemMessage};
use crate::{
    generation::{IncludeUsage, OutputTokens},
    model::{Profile, Takes},
    payload::{
        ContentKind, DocumentError, EditError, Edits, Literal, Payload, Pointer, json_required,
    },
    rejection::Rejection,
};

/// An edit of the body's document.
#[derive(Clone, Debug)]
pub(crate) enum JsonEdit {
    Default(Pointer, Literal),
    Override(Pointer, Literal),
    Remove(Pointer),
    Clamp(Clamp),
    OutputTokens(OutputTokens),
    Aliases(ModelAliases),
    System(SystemMessageEdit),
    IncludeUsage(IncludeUsage),
}

/// The result of editing a body.
#[derive(Debug, Default)]
pub(crate) struct EditedBody {
    /// The new bytes. `None` when nothing changed.
    pub(crate) bytes: Option<Bytes>,
    /// An edit requested a usage chunk that the client did not request.
    pub(crate) hide_usage: bool,
}

/// The other parts of the request, which decide how to edit its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestInfo<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// Whether a body that is neither JSON nor text passes unedited.
    pub(crate) binary_bodies: bool,
    pub(crate) profile: &'a Profile,
}

/// Applies consecutive edits to a body. An empty body stays empty.
pub(crate) fn apply_all(
    edits: &[JsonEdit],
    payload: &Payload,
    request: RequestInfo<'_>,
) -> Result<EditedBody, Rejection> {
    for edit in edits {
        if let JsonEdit::OutputTokens(tokens) = edit {
            tokens.apply_to_query(request.query)?;
        }
    }
    if request.binary_bodies {
        match ContentKind::of(request.headers, payload.bytes()) {
            ContentKind::Binary => return Ok(EditedBody::default()),
            ContentKind::Text if payload.bytes().is_none_or(|bytes| !bytes.is_empty()) => {
                return Err(json_required());
            }
            ContentKind::Text | ContentKind::Json => {}
        }
    }
    let document = match payload.document() {
        Ok(document) => document,
        Err(DocumentError::Empty) => return Ok(EditedBody::default()),
        Err(error) => return Err(error.rejection()),
    };
    let takes = request.profile.takes(request.path);
    let mut document = document.edit();
    let mut hide_usage = false;
    for edit in edits {
        hide_usage |= edit.apply(&mut document, takes, request.profile)?;
    }
    Ok(EditedBody { bytes: document.finish(), hide_usage })
}

impl JsonEdit {
    /// Applies the edit. Returns whether it requested a usage chunk that the client did not request.
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
            Self::IncludeUsage(_) if !profile.requests_usage() => return Ok(false),
            Self::IncludeUsage(usage) => return usage.apply(edits, takes),
        }
        .map(|()| false)
        .map_err(EditError::rejection)
    }
}
