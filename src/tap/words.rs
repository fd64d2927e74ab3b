//! The words by which servers say how a generation ended, and what their errors consist of.

/// How generations ended, by their own words. A response with several choices may have several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Endings(u8);

impl Endings {
    pub(super) const NONE: Self = Self(0);
    /// The model had said all, or what it said was filtered.
    pub(super) const WHOLE: Self = Self(1);
    /// The limit of the output was met.
    pub(super) const LIMIT: Self = Self(2);
    pub(super) const FAILED: Self = Self(4);
    /// Anything else: the context was full, or the word is unknown.
    pub(super) const OTHER: Self = Self(8);

    /// Reads a finish reason, in any case. An empty one says nothing: some servers send it with each
    /// event.
    pub(super) fn of(word: &Text) -> Self {
        if word.is_empty() {
            return Self::NONE;
        }
        let mut buffer = [0; Text::MAX];
        match word.folded(&mut buffer) {
            // llama.cpp and TensorRT-LLM say so while they generate.
            b"none" | b"not_finished" => Self::NONE,
            // OpenAI, vLLM, SGLang, llama.cpp, Together, Bedrock.
            b"stop" | b"tool_calls" | b"tool_call" | b"function_call" | b"content_filter"
            | b"content_filtered"
            // TGI (router/src/lib.rs, FinishReason) and Together; llama.cpp's `stop_type`.
            | b"eos_token" | b"eos" | b"stop_sequence" | b"word"
            // Anthropic and Bedrock; Cohere; OpenAI's responses.
            | b"end_turn" | b"tool_use" | b"complete" | b"completed" | b"succeeded" => Self::WHOLE,
            // OpenAI and most others; Anthropic, Cohere and Gemini; OpenAI's responses; llama.cpp.
            b"length" | b"max_tokens" | b"max_output_tokens" | b"limit" => Self::LIMIT,
            // vLLM (v1/engine/__init__.py), SGLang, Mistral, OpenRouter; TensorRT-LLM; DeepSeek.
            b"abort" | b"aborted" | b"error" | b"errored" | b"cancelled" | b"canceled"
            | b"timeout" | b"timed_out" | b"insufficient_system_resource"
            // Cohere.
            | b"error_toxic" | b"error_limit" | b"user_cancel"
            // OpenAI's responses; Zhipu; MLC; Gemini.
            | b"failed" | b"failure" | b"fail" | b"network_error" | b"preempt"
            | b"malformed_function_call" | b"unexpected_tool_call" => Self::FAILED,
            // Among them: `model_length` of Mistral, `model_context_window_exceeded`, `pause_turn` and
            // `refusal` of Anthropic, `repetition` of vLLM, `SAFETY` of Gemini.
            _ => Self::OTHER,
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How far a response is, by its `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    Ended(Endings),
    /// For the reason that `incomplete_details` names.
    Incomplete,
    Open,
    /// Said by a server that reports its own success.
    Fine,
    Unknown,
}

impl Status {
    pub(super) fn of(word: &Text) -> Self {
        let mut buffer = [0; Text::MAX];
        match word.folded(&mut buffer) {
            b"incomplete" => Self::Incomplete,
            b"in_progress" | b"queued" | b"starting" | b"processing" | b"pending" | b"running" => {
                Self::Open
            }
            b"ok" | b"success" => Self::Fine,
            _ => match Endings::of(word) {
                ending @ (Endings::FAILED | Endings::WHOLE) => Self::Ended(ending),
                _ => Self::Unknown,
            },
        }
    }
}

/// The types of events that end a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Type {
    #[default]
    Other,
    Error,
    Failed,
    /// It met its limit, or a filter: its stream is whole.
    Incomplete,
    Completed,
}

impl Type {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"error" => Self::Error,
            b"response.failed" | b"response.cancelled" => Self::Failed,
            b"response.incomplete" => Self::Incomplete,
            // OpenAI's responses; Anthropic; Cohere's second and first version.
            b"response.completed" | b"message_stop" | b"message-end" | b"stream-end" => {
                Self::Completed
            }
            _ => Self::Other,
        }
    }
}

/// Members that say in words what went wrong: of vLLM before 0.10 and Cohere, of FastAPI, of
/// DashScope, of AWS Lambda, of LMDeploy and Qianfan.
pub(super) fn explains(name: &[u8]) -> bool {
    matches!(
        name,
        b"message"
            | b"detail"
            | b"msg"
            | b"errorMessage"
            | b"error_message"
            | b"error_msg"
            | b"error_description"
    )
}

/// Members that an error of one level may have, besides those that [explain](explains) it. An object
/// with any other member says more than that it failed.
pub(super) fn belongs_to_errors(name: &[u8]) -> bool {
    explains(name)
        || matches!(
            name,
            b"object"
                | b"type"
                | b"title"
                | b"status"
                | b"status_code"
                | b"statusCode"
                | b"code"
                | b"error"
                | b"errors"
                | b"error_code"
                | b"error_type"
                | b"errorType"
                | b"param"
                | b"id"
                | b"request_id"
                | b"requestId"
                | b"trace_id"
                | b"instance"
                | b"timestamp"
                | b"created"
                | b"path"
                | b"success"
                | b"stackTrace"
                | b"documentation_url"
        )
}

/// A name, or a word: as much of it as the longest that is looked for. A longer one is none.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Text {
    const MAX: usize = 32;
    const TOO_LONG: u8 = u8::MAX;

    pub(super) const EMPTY: Self = Self { bytes: [0; Self::MAX], len: 0 };

    /// An empty one, that stays of no use unless it is `wanted`.
    pub(super) const fn wanted_if(wanted: bool) -> Self {
        Self { bytes: [0; Self::MAX], len: if wanted { 0 } else { Self::TOO_LONG } }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let end = usize::from(self.len).saturating_add(more.len());
        match self.bytes.get_mut(usize::from(self.len)..end) {
            Some(room) => {
                room.copy_from_slice(more);
                self.len = u8::try_from(end).unwrap_or(Self::TOO_LONG);
            }
            None => self.len = Self::TOO_LONG,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empty when it is none that is looked for.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// In lower case, with underscores for dashes.
    fn folded<'a>(&self, buffer: &'a mut [u8; Self::MAX]) -> &'a [u8] {
        let word = self.as_bytes();
        for (place, byte) in buffer.iter_mut().zip(word) {
            *place = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
        }
        buffer.get(..word.len()).unwrap_or_default()
    }
}
