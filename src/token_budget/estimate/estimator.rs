use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::{media::MEDIUM, prompt::PromptTokens};
use crate::{
    generation::{IncludeUsage, OutputTokens, violation_at},
    model::{Form, Profile, Takes},
    payload::{ContentKind, Document, DocumentError, Node, Payload, is_bodiless},
    rejection::Rejection,
    token_budget::tokenizer::Tokenizer,
};

/// The most tokens that a request can take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) prompt: u64,
    /// The bound of the tokens that an upstream reports for the prompt.
    pub(crate) max_prompt: u64,
    /// The output limit, times the number of choices.
    pub(crate) output: u64,
    /// Whether the upstream enforces `output`. It is `false` for a body of unknown form.
    pub(crate) bounded: bool,
    /// Whether the output is pictures or sound, whose bytes do not determine the tokens.
    pub(crate) is_media: bool,
    /// Whether the upstream generates on after its response.
    pub(crate) in_background: bool,
}

/// A request with its estimate and its edits.
#[derive(Debug)]
pub(crate) struct PreparedRequest {
    pub(crate) estimate: Estimate,
    /// The new body, or `None` where it stays as it is.
    pub(crate) body: Option<Bytes>,
    pub(crate) hide_usage: bool,
}

/// Reads and edits requests.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    output: OutputTokens,
    usage: IncludeUsage,
    profile: Arc<Profile>,
    tokenizer: Option<Tokenizer>,
    flat_cost: Option<u64>,
}

impl Estimator {
    pub(crate) fn new() -> Self {
        Self {
            output: OutputTokens::missing(1_024),
            usage: IncludeUsage::new(),
            profile: Arc::default(),
            tokenizer: None,
            flat_cost: None,
        }
    }

    pub(crate) fn set_default_output_limit(&mut self, tokens: u32) {
        self.output = OutputTokens::missing(tokens);
    }

    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.profile = Arc::new(profile);
    }

    pub(crate) fn set_tokenizer(&mut self, tokenizer: Tokenizer) {
        self.tokenizer = Some(tokenizer);
    }

    pub(crate) const fn set_flat_cost(&mut self, tokens: u64) {
        self.flat_cost = Some(tokens);
    }

    pub(crate) const fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Estimates a request and edits its body. Returns `None` for a request without a body.
    pub(crate) fn prepare(
        &self,
        request: &Request<Payload>,
    ) -> Result<Option<PreparedRequest>, Rejection> {
        let payload = request.body();
        let mut prepared = match payload.document() {
            Ok(document) => self.with_document(request.uri().path(), document)?,
            Err(DocumentError::Empty) if is_bodiless(request.method()) => return Ok(None),
            Err(DocumentError::Empty) => self.estimate_bytes(0),
            Err(error) => self.without_document(request, error)?,
        };
        let query = self.output.apply_to_query(request.uri().query())?;
        let estimate = &mut prepared.estimate;
        estimate.output = estimate.output.max(query.tokens.unwrap_or_default());
        estimate.output = estimate.output.saturating_mul(query.choices);
        Ok(Some(prepared))
    }

    fn with_document(&self, path: &str, document: &Document) -> Result<PreparedRequest, Rejection> {
        let takes = self.profile.takes(path);
        let mut edits = document.edit();
        let output = self.output.apply(&mut edits, takes, self.profile.limit_of_chats())?;
        if let Some(pointer) = output.miscounted {
            return Err(invalid_count(pointer));
        }
        let hide_usage = self.profile.requests_usage() && self.usage.apply(&mut edits, takes)?;
        let root = document.root();
        let prompt = PromptTokens::of(root, self.tokenizer.as_ref());
        let bytes = document.bytes().len();
        let mut estimate = Estimate {
            prompt: prompt.tokens(),
            max_prompt: prompt.max(bytes),
            output: output.tokens,
            bounded: output.bounded,
            is_media: output.forms.has(Form::Media),
            in_background: is_in_background(root),
        };
        if !output.bounded {
            // The upstream may read any member of an unknown form.
            estimate.prompt = estimate.prompt.max(prompt.estimate_bytes(bytes));
        } else if estimate.is_media {
            estimate.output = media_output(root)?;
        }
        Ok(PreparedRequest { estimate, body: edits.finish(), hide_usage })
    }

    /// Estimates a body that is not JSON.
    fn without_document(
        &self,
        request: &Request<Payload>,
        error: DocumentError,
    ) -> Result<PreparedRequest, Rejection> {
        let bytes = request.body().bytes();
        let is_media = self.profile.takes(request.uri().path()) == Takes::One(Form::Media);
        match (ContentKind::of(request.headers(), bytes), bytes, self.flat_cost) {
            (ContentKind::Binary, _, Some(prompt)) => {
                let estimate = Estimate {
                    prompt,
                    max_prompt: max_of_upload(prompt),
                    output: 0,
                    bounded: true,
                    is_media,
                    in_background: false,
                };
                Ok(PreparedRequest { estimate, body: None, hide_usage: false })
            }
            (ContentKind::Text, Some(text), Some(flat)) => {
                let mut prepared = self.estimate_bytes(text.len());
                let estimate = &mut prepared.estimate;
                estimate.prompt = flat.max(estimate.prompt);
                estimate.max_prompt = if is_media {
                    max_of_upload(flat)
                } else {
                    estimate.prompt.max(estimate.max_prompt)
                };
                estimate.is_media = is_media;
                Ok(prepared)
            }
            _ => Err(error.rejection()),
        }
    }

    /// Estimates a body by its length alone.
    const fn estimate_bytes(&self, bytes: usize) -> PreparedRequest {
        let (prompt, output) = ((bytes as u64).div_ceil(4), self.output.most());
        let max_prompt = bytes as u64;
        let (bounded, is_media, in_background) = (false, false, false);
        let estimate = Estimate { prompt, max_prompt, output, bounded, is_media, in_background };
        PreparedRequest { estimate, body: None, hide_usage: false }
    }
}

/// Returns the most tokens of an upload. Its bytes do not bound them. A cost of zero makes it free.
const fn max_of_upload(flat_cost: u64) -> u64 {
    if flat_cost == 0 { 0 } else { u64::MAX }
}

/// Returns whether the upstream responds before it has generated the output: `background` of OpenAI's
/// responses, `deferred` of xAI's chats.
fn is_in_background(root: Node<'_>) -> bool {
    ["background", "deferred"].into_iter().any(|name| {
        root.get(name).is_some_and(|value| !value.is_null() && value.as_bool() != Some(false))
    })
}

/// Returns the tokens of the pictures or sounds that a request generates.
fn media_output(root: Node<'_>) -> Result<u64, Rejection> {
    let Some(count) = root.get("n").filter(|count| !count.is_null()) else { return Ok(MEDIUM) };
    // Clients whose numbers are all floats send 3 as `3.0`.
    let whole = || {
        let (whole, zeros) = str::from_utf8(count.raw()).ok()?.split_once('.')?;
        if zeros.bytes().all(|digit| digit == b'0') { whole.parse().ok() } else { None }
    };
    match count.as_u64().or_else(whole) {
        Some(count @ 1..) => Ok(MEDIUM.saturating_mul(count)),
        _ => Err(invalid_count("/n".into())),
    }
}

fn invalid_count(pointer: String) -> Rejection {
    violation_at(pointer, "type", "must be a whole number, at least 1")
}
