use bytes::Bytes;

use super::{layer::TransformLayer, step::Step};
use crate::{payload::Payload, rejection::Rejection};

/// An edit of the body's document.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(super) enum JsonEdit {
    /// Removes the value at a pointer.
    Remove(Box<str>),
}

/// What the edits made of a document.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// The new bytes; `None` when nothing changed.
    pub(super) bytes: Option<Bytes>,
    /// The upstream was asked for a usage chunk that the caller did not ask for.
    pub(super) hide_usage: bool,
}

/// Applies edits that follow one another.
pub(super) fn apply(edits: &[&JsonEdit], payload: &Payload) -> Result<Edited, Rejection> {
    let _for_now = (edits, payload);
    Ok(Edited::default())
}

impl TransformLayer {
    /// Removes the value that a JSON pointer leads to, if it is there.
    #[must_use]
    pub fn remove_json(self, pointer: &str) -> Self {
        self.step(Step::Json(JsonEdit::Remove(pointer.into())))
    }
}
