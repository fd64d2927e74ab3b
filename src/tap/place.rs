//! Where something is looked for in a document, and by which name.

use super::{
    texts::TextKind,
    usage::{CACHED, COMPLETION, CREATED, INPUT, OUTPUT, PROMPT, THOUGHTS, TOTAL},
    words::explains,
};

/// What an object or array is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Place {
    /// None: around the document.
    Outside,
    /// An array around the root.
    Batch,
    Root,
    Usage,
    /// An object in the root that is a part of the response: `response` of OpenAI's responses and
    /// of Cohere's first version, `message` and `delta` of Anthropic and Cohere, `x_groq` of Groq.
    Part,
    PartUsage,
    /// `tokens` of Cohere's usage.
    Tokens,
    /// `billed_units` of Cohere's usage.
    Billed,
    /// `meta` of Cohere's first version, rankings and embeddings.
    Meta,
    /// TGI's.
    Details,
    /// TGI's tokens of the prompt, in the details.
    Prefill,
    /// SGLang's `meta_info`.
    Info,
    /// SGLang's `finish_reason`, in its `meta_info`.
    Finish,
    /// Gemini's `usageMetadata`.
    Metadata,
    /// llama.cpp's.
    Timings,
    Choices,
    Choice,
    /// `incomplete_details` of OpenAI's responses.
    Incomplete,
    /// An array of errors.
    Errors,
    Other,
}

/// What a value is, by its name and the place of that.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Member {
    Usage,
    Response,
    /// A message in the root: an object, or the words of an error.
    Message,
    Delta,
    /// TGI's, of a stream.
    Token,
    Groq,
    Meta,
    Tokens,
    Billed,
    Details,
    Prefill,
    Info,
    Metadata,
    Timings,
    Choices,
    Incomplete,
    Error,
    Errors,
    /// What explains an error.
    Explanation,
    /// A number of a status, or of an error.
    Code,
    Success,
    GeneratedText,
    Type,
    Object,
    Status,
    /// A finish reason.
    Finish,
    /// Why a response is incomplete.
    Reason,
    /// `done` of Ollama, `stop` of llama.cpp.
    Done,
    /// llama.cpp's, of the context.
    Truncated,
    /// llama.cpp's older ones: by its limit, or of itself.
    StoppedAtLimit,
    StoppedOfItself,
    /// What a model may have written.
    Text(TextKind),
    /// A count, by its slot.
    Count(u8),
    Other,
}

impl Place {
    /// What an object or array is that stands here.
    pub(super) const fn inside(self, member: Member, object: bool) -> Self {
        match (self, member, object) {
            (Self::Outside, _, false) => Self::Batch,
            (Self::Outside | Self::Batch, _, true) => Self::Root,
            (Self::Root, Member::Usage, true) => Self::Usage,
            (
                Self::Root,
                Member::Response | Member::Message | Member::Delta | Member::Groq,
                true,
            ) => Self::Part,
            (Self::Part, Member::Usage, true) => Self::PartUsage,
            (Self::Root | Self::Part, Member::Meta, true) => Self::Meta,
            (Self::Usage | Self::PartUsage | Self::Meta, Member::Tokens, true) => Self::Tokens,
            (Self::Usage | Self::PartUsage | Self::Meta, Member::Billed, true) => Self::Billed,
            (Self::Root, Member::Details, true) => Self::Details,
            (Self::Details, Member::Prefill, false) => Self::Prefill,
            (Self::Root, Member::Info, true) => Self::Info,
            (Self::Info, Member::Finish, true) => Self::Finish,
            (Self::Root, Member::Metadata, true) => Self::Metadata,
            (Self::Root, Member::Timings, true) => Self::Timings,
            (Self::Root, Member::Choices, false) => Self::Choices,
            (Self::Choices, _, true) => Self::Choice,
            (Self::Root | Self::Part, Member::Incomplete, true) => Self::Incomplete,
            (Self::Root, Member::Errors, false) => Self::Errors,
            _ => Self::Other,
        }
    }
}

impl Member {
    pub(super) fn of(place: Place, name: &[u8]) -> Self {
        match place {
            Place::Root => Self::of_root(name),
            Place::Part => match name {
                b"usage" => Self::Usage,
                b"meta" => Self::Meta,
                b"error" => Self::Error,
                b"status" => Self::Status,
                b"incomplete_details" => Self::Incomplete,
                b"finish_reason" | b"stop_reason" => Self::Finish,
                _ => Self::text(name),
            },
            Place::Usage | Place::PartUsage => match name {
                b"tokens" => Self::Tokens,
                b"billed_units" => Self::Billed,
                _ => Self::count(name),
            },
            Place::Tokens | Place::Billed => match name {
                b"input_tokens" => Self::Count(INPUT),
                b"output_tokens" => Self::Count(OUTPUT),
                _ => Self::Other,
            },
            Place::Meta => match name {
                b"tokens" => Self::Tokens,
                b"billed_units" => Self::Billed,
                _ => Self::Other,
            },
            Place::Details => match name {
                b"finish_reason" => Self::Finish,
                b"prefill" => Self::Prefill,
                b"input_length" => Self::Count(PROMPT),
                b"generated_tokens" => Self::Count(COMPLETION),
                _ => Self::Other,
            },
            Place::Info => match name {
                b"finish_reason" => Self::Finish,
                b"prompt_tokens" => Self::Count(PROMPT),
                b"completion_tokens" => Self::Count(COMPLETION),
                _ => Self::Other,
            },
            Place::Finish if name == b"type" => Self::Finish,
            Place::Metadata => match name {
                b"promptTokenCount" => Self::Count(PROMPT),
                b"candidatesTokenCount" => Self::Count(COMPLETION),
                b"thoughtsTokenCount" => Self::Count(THOUGHTS),
                b"totalTokenCount" => Self::Count(TOTAL),
                _ => Self::Other,
            },
            Place::Timings => match name {
                // Of the prompt, what was computed; and what was there already.
                b"prompt_n" => Self::Count(INPUT),
                b"cache_n" => Self::Count(CACHED),
                b"predicted_n" => Self::Count(OUTPUT),
                _ => Self::Other,
            },
            // `stop_reason` of vLLM is the text that stopped it.
            Place::Choice => match name {
                b"finish_reason" | b"finishReason" => Self::Finish,
                b"error" => Self::Error,
                _ => Self::text(name),
            },
            Place::Incomplete if name == b"reason" => Self::Reason,
            Place::Other => Self::text(name),
            _ => Self::Other,
        }
    }

    fn of_root(name: &[u8]) -> Self {
        match name {
            b"usage" => Self::Usage,
            b"choices" | b"candidates" => Self::Choices,
            b"error" => Self::Error,
            b"errors" => Self::Errors,
            b"type" | b"event_type" => Self::Type,
            b"object" => Self::Object,
            b"status" => Self::Status,
            b"message" => Self::Message,
            b"delta" => Self::Delta,
            b"token" => Self::Token,
            b"response" => Self::Response,
            b"details" => Self::Details,
            b"generated_text" => Self::GeneratedText,
            b"x_groq" => Self::Groq,
            b"meta" => Self::Meta,
            b"meta_info" => Self::Info,
            b"usageMetadata" => Self::Metadata,
            b"timings" => Self::Timings,
            b"incomplete_details" => Self::Incomplete,
            b"finish_reason" | b"stop_reason" | b"stopReason" | b"done_reason" | b"stop_type" => {
                Self::Finish
            }
            b"done" | b"stop" => Self::Done,
            b"truncated" => Self::Truncated,
            b"stopped_limit" => Self::StoppedAtLimit,
            b"stopped_eos" | b"stopped_word" => Self::StoppedOfItself,
            b"success" => Self::Success,
            b"code" | b"status_code" | b"statusCode" | b"error_code" => Self::Code,
            b"prompt_eval_count" | b"tokens_evaluated" => Self::Count(PROMPT),
            b"eval_count" | b"tokens_predicted" => Self::Count(COMPLETION),
            _ if explains(name) => Self::Explanation,
            _ => Self::text(name),
        }
    }

    fn count(name: &[u8]) -> Self {
        match name {
            b"prompt_tokens" => Self::Count(PROMPT),
            b"completion_tokens" => Self::Count(COMPLETION),
            b"total_tokens" | b"totalTokens" => Self::Count(TOTAL),
            b"input_tokens" | b"inputTokens" => Self::Count(INPUT),
            b"output_tokens" | b"outputTokens" => Self::Count(OUTPUT),
            b"cache_creation_input_tokens" | b"cacheWriteInputTokens" => Self::Count(CREATED),
            b"cache_read_input_tokens" | b"cacheReadInputTokens" => Self::Count(CACHED),
            _ => Self::Other,
        }
    }

    fn text(name: &[u8]) -> Self {
        TextKind::of(name).map_or(Self::Other, Self::Text)
    }

    /// What a string of this member is, where a model may have written it.
    pub(super) const fn written(self) -> Option<TextKind> {
        match self {
            Self::Text(kind) => Some(kind),
            Self::GeneratedText => Some(TextKind::Generated),
            Self::Response | Self::Delta => Some(TextKind::Content),
            _ => None,
        }
    }
}
