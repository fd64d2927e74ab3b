//! What a request may cost at the most, before it is sent.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::Request;

use crate::{
    generation::{IncludeUsage, OutputTokens, violation_at},
    model::{Form, Profile},
    payload::{Content, Document, DocumentError, Kind, Node, Payload, is_bodiless},
    rejection::Rejection,
};

/// The user's own way to count the tokens of a text.
#[derive(Clone)]
pub(super) struct Tokenizer(Arc<dyn Fn(&str) -> u64 + Send + Sync>);

/// What a request may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Estimate {
    pub(super) prompt: u64,
    /// The limit, for each of the answers that are asked for.
    pub(super) output: u64,
    /// Whether the upstream is held to that: it may be more where the form of the body is unknown.
    pub(super) bounded: bool,
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

/// A picture, a sound, a file.
const MEDIA: u64 = 1_000;
/// What stands around a message: its role, and the marks of its start and end.
const AROUND_MESSAGE: u64 = 4;

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
            return Err(violation_at(pointer, "type", "must be a whole number, at least 1"));
        }
        let hide_usage = self.profile.asks_for_usage() && self.ask.apply(&mut edits, takes)?;
        let root = document.root();
        let mut estimate =
            Estimate { prompt: self.prompt(root), output: output.tokens, bounded: output.bounded };
        if !output.bounded {
            // Which of the members are read is unknown.
            estimate.prompt = estimate.prompt.max(tokens_of(document.bytes().len()));
        } else if output.forms.has(Form::Media) {
            estimate.output = media(root);
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
        match (Content::of(request.headers(), bytes), bytes, self.flat) {
            (Content::Binary, _, Some(prompt)) => {
                let estimate = Estimate { prompt, output: 0, bounded: true };
                Ok(Prepared { estimate, bytes: None, hide_usage: false })
            }
            (Content::Text, Some(text), Some(flat)) => {
                let mut prepared = self.by_bytes(text.len());
                prepared.estimate.prompt = prepared.estimate.prompt.max(flat);
                Ok(prepared)
            }
            _ => Err(error.rejection()),
        }
    }

    /// A body of so many bytes of which nothing else is known.
    const fn by_bytes(&self, bytes: usize) -> Prepared {
        let (prompt, output) = (tokens_of(bytes), self.output.most());
        let estimate = Estimate { prompt, output, bounded: false };
        Prepared { estimate, bytes: None, hide_usage: false }
    }

    fn prompt(&self, root: Node<'_>) -> u64 {
        let mut tally = Tally { tokenizer: self.tokenizer.as_ref(), tokens: 0, bytes: 0 };
        for (name, value) in root.members() {
            match &*name {
                _ if value.is_null() => {}
                "messages" => {
                    let messages = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    tally.add(messages.saturating_mul(AROUND_MESSAGE));
                    tally.read(value);
                }
                "tools" | "functions" | "response_format" | "guided_json" | "json_schema"
                | "text_format" => tally.raw(value),
                // Said of the answer, or of the machine.
                "model" | "user" | "stop" | "metadata" | "stream_options" | "options"
                | "logit_bias" | "tool_choice" | "sampling_params" => {}
                // Some hold texts, such as the labels of a classification.
                "parameters" => tally.texts(value),
                _ if matches!(value.kind(), Kind::String | Kind::Array | Kind::Object) => {
                    tally.read(value);
                }
                _ => {}
            }
        }
        tally.sum()
    }
}

/// A quarter of so many bytes.
const fn tokens_of(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// What is drawn or spoken.
fn media(root: Node<'_>) -> u64 {
    let many = root.get("n").and_then(Node::as_u64).unwrap_or(1);
    MEDIA.saturating_mul(many)
}

fn is_there(root: Node<'_>, name: &str) -> bool {
    root.get(name).is_some_and(|node| !node.is_null())
}

/// What was read so far.
struct Tally<'a> {
    tokenizer: Option<&'a Tokenizer>,
    tokens: u64,
    // Not yet in tokens.
    bytes: u64,
}

impl Tally<'_> {
    const fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str) {
        match self.tokenizer {
            Some(tokenizer) => self.add(tokenizer.count(text)),
            None => self.bytes = self.bytes.saturating_add(text.len() as u64),
        }
    }

    /// As it is written: a schema, whose names are read as well.
    fn raw(&mut self, node: Node<'_>) {
        self.text(str::from_utf8(node.raw()).unwrap_or_default());
    }

    /// The strings of a value, and numbers as tokens.
    fn read(&mut self, node: Node<'_>) {
        match node.kind() {
            Kind::String => {
                if let Some(text) = node.as_str() {
                    self.text(&text);
                }
            }
            Kind::Number => self.add(1),
            Kind::Array => node.elements().for_each(|element| self.read(element)),
            Kind::Object if is_media(node) => self.add(MEDIA),
            // The depth of a document is bounded.
            Kind::Object => node.members().for_each(|(_, member)| self.read(member)),
            _ => {}
        }
    }

    /// The strings of a value alone.
    fn texts(&mut self, node: Node<'_>) {
        match node.kind() {
            Kind::String => self.read(node),
            Kind::Array => node.elements().for_each(|element| self.texts(element)),
            Kind::Object => node.members().for_each(|(_, member)| self.texts(member)),
            _ => {}
        }
    }

    fn sum(self) -> u64 {
        self.tokens.saturating_add(self.bytes.div_ceil(4))
    }
}

fn is_media(node: Node<'_>) -> bool {
    const NAMES: [&str; 9] = [
        "image_url",
        "image",
        "input_audio",
        "audio_url",
        "audio",
        "video_url",
        "video",
        "file",
        "file_data",
    ];
    NAMES.iter().any(|name| is_there(node, name))
}

// === impl Tokenizer ===

impl Tokenizer {
    pub(super) fn new(count: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }

    pub(super) fn count(&self, text: &str) -> u64 {
        (self.0)(text)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokenizer(..)")
    }
}
