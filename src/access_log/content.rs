use super::pseudonyms::Pseudonyms;

/// How a log shows prompts or completions.
///
/// The text is the body as it passed. A prompt is the body of the request as the client sent it, before
/// any layer edits it. A completion is the body of the response as the client received it: a stream shows
/// its events.
#[derive(Clone, Debug)]
pub struct Content(pub(super) ContentKind);

#[derive(Clone, Debug)]
pub(super) enum ContentKind {
    Truncated { max_bytes: usize },
    Pseudonym(Pseudonyms),
}

impl Content {
    /// Shows the first `max_bytes` and says how many bytes were cut.
    ///
    /// The layer keeps as many bytes of each request in flight, and as many more as a secret of its
    /// scrubbers may have: about 250 for a token of Hugging Face. A body with a `content-encoding` and one
    /// that is not UTF-8 have no text.
    #[must_use]
    pub const fn truncated(max_bytes: usize) -> Self {
        Self(ContentKind::Truncated { max_bytes })
    }

    /// Shows the [pseudonym](Pseudonyms::content) of the whole body. A body that was not read to its end has none.
    /// Nothing of the body is kept.
    #[must_use]
    pub const fn pseudonym(pseudonyms: Pseudonyms) -> Self {
        Self(ContentKind::Pseudonym(pseudonyms))
    }

    /// Returns how many bytes it needs, and whether it needs the digest.
    pub(super) const fn needs(&self) -> (usize, bool) {
        match self.0 {
            ContentKind::Truncated { max_bytes } => (max_bytes, false),
            ContentKind::Pseudonym(_) => (0, true),
        }
    }
}
