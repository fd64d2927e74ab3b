//! What a request may cost at the most, before it is sent.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::{
    prompt::{MEDIA, Prompt},
    tokenizer::Tokenizer,
};
use crate::{
    generation::{IncludeUsage, OutputTokens, violation_at},
    model::{Form, Profile},
    payload::{ContentKind, Document, DocumentError, Node, Payload, is_bodiless},
    rejection::Rejection,
};

/// What a request may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Estimate {
    pub(super) prompt: u64,
    /// What the prompt can have taken at the most: a token is at least a byte.
    pub(super) most_of_prompt: u64,
    /// The limit, for each of the answers that are asked for.
    pub(super) output: u64,
    /// Whether the upstream is held to that: it may be more where the form of the body is unknown.
    pub(super) bounded: bool,
    /// Whether that is drawn or spoken: its bytes tell nothing of its tokens.
    pub(super) drawn: bool,
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) estimate: Estimate,
    /// The new body; `None` when it stays.
    pub(super) bytes: Option<Bytes>,
    pub(super) hide_usage: bool,
}

/// Reads and edits requests.
#[derive(Clone, Debug)]
pub(super) struct Estimator {
    output: OutputTokens,
    ask: IncludeUsage,
    profile: Arc<Profile>,
    tokenizer: Option<Tokenizer>,
    flat: Option<u64>,
}

/// A flat cost stands for an upload that may be so many times longer.
const MOST_OF_FLAT: u64 = 4;

impl Estimator {
    pub(super) fn new() -> Self {
        Self {
            output: OutputTokens::missing(1_024),
            ask: IncludeUsage::new(),
            profile: Arc::default(),
            tokenizer: None,
            flat: None,
        }
    }

    pub(super) fn set_output(&mut self, tokens: u32) {
        self.output = OutputTokens::missing(tokens);
    }

    pub(super) fn set_profile(&mut self, profile: Profile) {
        self.profile = Arc::new(profile);
    }

    pub(super) fn set_tokenizer(&mut self, tokenizer: Tokenizer) {
        self.tokenizer = Some(tokenizer);
    }

    pub(super) const fn set_flat(&mut self, tokens: u64) {
        self.flat = Some(tokens);
    }

    pub(super) const fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Reads a request, and puts into its body what that needs. `None` where there is nothing to
    /// compute.
    pub(super) fn prepare(
        &self,
        request: &Request<Payload>,
    ) -> Result<Option<Prepared>, Rejection> {
        let payload = request.body();
        let mut prepared = match payload.document() {
            Ok(document) => self.read(request.uri().path(), document)?,
            Err(DocumentError::Empty) if is_bodiless(request.method()) => return Ok(None),
            Err(DocumentError::Empty) => self.by_bytes(0),
            Err(error) => self.unread(request, error)?,
        };
        let asked = self.output.apply_to_query(request.uri().query())?;
        let estimate = &mut prepared.estimate;
        estimate.output = estimate.output.max(asked.tokens.unwrap_or_default());
        estimate.output = estimate.output.saturating_mul(asked.answers);
        Ok(Some(prepared))
    }

    fn read(&self, path: &str, document: &Document) -> Result<Prepared, Rejection> {
        let takes = self.profile.takes(path);
        let mut edits = document.edit();
        let output = self.output.apply(&mut edits, takes, self.profile.limit_of_chats())?;
        if let Some(pointer) = output.miscounted {
            return Err(miscounted(pointer));
        }
        let hide_usage = self.profile.asks_for_usage() && self.ask.apply(&mut edits, takes)?;
        let root = document.root();
        let prompt = Prompt::of(root, self.tokenizer.as_ref());
        let bytes = document.bytes().len();
        let mut estimate = Estimate {
            prompt: prompt.tokens(),
            most_of_prompt: prompt.most(bytes),
            output: output.tokens,
            bounded: output.bounded,
            drawn: output.forms.has(Form::Media),
        };
        if !output.bounded {
            // Which of the members are read is unknown.
            estimate.prompt = estimate.prompt.max(prompt.by_bytes(bytes));
        } else if estimate.drawn {
            estimate.output = media(root)?;
        }
        Ok(Prepared { estimate, bytes: edits.finish(), hide_usage })
    }

    /// A body that has no document.
    fn unread(
        &self,
        request: &Request<Payload>,
        error: DocumentError,
    ) -> Result<Prepared, Rejection> {
        let bytes = request.body().bytes();
        match (ContentKind::of(request.headers(), bytes), bytes, self.flat) {
            (ContentKind::Binary, _, Some(prompt)) => {
                let most_of_prompt = prompt.saturating_mul(MOST_OF_FLAT);
                let (bounded, drawn) = (true, false);
                let estimate = Estimate { prompt, most_of_prompt, output: 0, bounded, drawn };
                Ok(Prepared { estimate, bytes: None, hide_usage: false })
            }
            (ContentKind::Text, Some(text), Some(flat)) => {
                let mut prepared = self.by_bytes(text.len());
                let Estimate { prompt, most_of_prompt, .. } = &mut prepared.estimate;
                *prompt = flat.max(*prompt);
                *most_of_prompt = flat.saturating_mul(MOST_OF_FLAT).max(*most_of_prompt);
                Ok(prepared)
            }
            _ => Err(error.rejection()),
        }
    }

    /// A body of so many bytes of which nothing else is known.
    const fn by_bytes(&self, bytes: usize) -> Prepared {
        let (prompt, output) = ((bytes as u64).div_ceil(4), self.output.most());
        let most_of_prompt = bytes as u64;
        let (bounded, drawn) = (false, false);
        let estimate = Estimate { prompt, most_of_prompt, output, bounded, drawn };
        Prepared { estimate, bytes: None, hide_usage: false }
    }
}

/// What is drawn or spoken.
fn media(root: Node<'_>) -> Result<u64, Rejection> {
    let Some(many) = root.get("n").filter(|many| !many.is_null()) else { return Ok(MEDIA) };
    // `3.0` is 3 for clients whose numbers are all floats.
    let whole = || {
        let (whole, zeros) = str::from_utf8(many.raw()).ok()?.split_once('.')?;
        if zeros.bytes().all(|digit| digit == b'0') { whole.parse().ok() } else { None }
    };
    match many.as_u64().or_else(whole) {
        Some(many @ 1..) => Ok(MEDIA.saturating_mul(many)),
        _ => Err(miscounted("/n".into())),
    }
}

fn miscounted(pointer: String) -> Rejection {
    violation_at(pointer, "type", "must be a whole number, at least 1")
}
