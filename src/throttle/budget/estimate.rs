//! What a request may cost at the most, before it is sent.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    generation::{AskForUsage, OutputTokens, violation},
    payload::{Document, Kind, Node, Payload, Pointer},
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
    ask: AskForUsage,
    tokenizer: Option<Tokenizer>,
    counts: Arc<[Pointer; 4]>,
}

/// Whether a route generates.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Task {
    Generates,
    Reads,
    /// Any task, as its model has it.
    Unknown,
}

/// A picture, a sound, a file.
const MEDIA: u64 = 1_000;
/// What stands around a message: its role, and the marks of its start and end.
const AROUND_MESSAGE: u64 = 4;

impl Estimator {
    pub(super) fn new() -> Self {
        Self {
            output: OutputTokens::missing(1_024),
            ask: AskForUsage::new(),
            tokenizer: None,
            counts: Arc::new([
                Pointer::new(["n"]),
                Pointer::new(["best_of"]),
                Pointer::new(["parameters", "best_of"]),
                Pointer::new(["parameters", "num_return_sequences"]),
            ]),
        }
    }

    pub(super) fn set_output(&mut self, tokens: u32) {
        self.output = OutputTokens::missing(tokens);
    }

    pub(super) fn set_tokenizer(&mut self, tokenizer: Tokenizer) {
        self.tokenizer = Some(tokenizer);
    }

    pub(super) const fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Reads a document, and puts into it what it needs.
    pub(super) fn prepare(&self, path: &str, document: &Document) -> Result<Prepared, Rejection> {
        let root = document.root();
        let prompt = self.prompt(root);
        let marked = ["messages", "prompt"].iter().any(|mark| is_there(root, mark));
        let task = match Task::of(path) {
            Task::Unknown if marked => Task::Generates,
            task => task,
        };
        if task == Task::Reads {
            let estimate = Estimate { prompt, output: 0 };
            return Ok(Prepared { estimate, bytes: None, hide_usage: false });
        }
        let mut edits = document.edit();
        let each = self.output.apply(&mut edits, task == Task::Generates)?;
        let mut answers = 1;
        for count in &*self.counts {
            let Some(node) = edits.get(count).map_err(|error| error.rejection())? else { continue };
            let number = node.as_u64().filter(|number| *number > 0);
            let number = number
                .ok_or_else(|| violation(count, "type", "must be a whole number, at least 1"))?;
            answers = answers.max(number);
        }
        let output = each.saturating_mul(answers).saturating_mul(prompts(root));
        // OpenAI's responses tell their usage, and refuse to be asked.
        let hide_usage = marked && self.ask.apply(&mut edits)?;
        let estimate = Estimate { prompt, output };
        Ok(Prepared { estimate, bytes: edits.finish(), hide_usage })
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
                "model" | "user" | "stop" | "metadata" | "stream_options" | "parameters"
                | "options" | "logit_bias" | "tool_choice" | "sampling_params" => {}
                _ if matches!(value.kind(), Kind::String | Kind::Array | Kind::Object) => {
                    tally.read(value);
                }
                _ => {}
            }
        }
        tally.sum()
    }
}

/// How many prompts a completion is asked for.
fn prompts(root: Node<'_>) -> u64 {
    let prompts = ["prompt", "inputs"].iter().find_map(|name| root.get(name));
    match prompts {
        Some(list) if list.kind() == Kind::Array => {
            // An array of numbers is one prompt, of tokens.
            let texts = list.elements().filter(|one| one.kind() != Kind::Number).count();
            u64::try_from(texts).unwrap_or(u64::MAX).max(1)
        }
        _ => 1,
    }
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

// === impl Task, Tokenizer ===

impl Task {
    fn of(path: &str) -> Self {
        const GENERATE: [&str; 7] = [
            "/chat/completions",
            "/completions",
            "/responses",
            "/generate",
            "/generate_stream",
            "/pipeline/text-generation",
            "/messages",
        ];
        const READ: [&str; 20] = [
            "/embeddings",
            "/embed",
            "/embed_all",
            "/embed_sparse",
            "/rerank",
            "/predict",
            "/similarity",
            "/tokenize",
            "/detokenize",
            "/decode",
            "/moderations",
            "/score",
            "/pooling",
            "/classify",
            "/pipeline/feature-extraction",
            "/pipeline/sentence-similarity",
            "/pipeline/text-classification",
            "/pipeline/token-classification",
            "/pipeline/zero-shot-classification",
            "/pipeline/fill-mask",
        ];
        let path = path.trim_end_matches('/');
        if GENERATE.iter().any(|end| path.ends_with(end)) {
            Self::Generates
        } else if READ.iter().any(|end| path.ends_with(end)) {
            Self::Reads
        } else {
            Self::Unknown
        }
    }
}

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

/// Whether a body that has no document may pass at a flat cost: never what may be JSON to an
/// upstream that is less strict.
pub(super) fn is_opaque(payload: &Payload, says_json: bool) -> bool {
    let looks_like_json = || {
        let first = payload.bytes().and_then(|bytes| bytes.trim_ascii_start().first().copied());
        matches!(first, Some(b'{' | b'['))
    };
    payload.is_streamed() || !says_json && !looks_like_json()
}
