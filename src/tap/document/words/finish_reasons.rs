use super::bounded_word::{BoundedWord, Word};

/// The finish reasons of a response. A response with several choices may have several.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FinishReasons(u8);

impl FinishReasons {
    pub(crate) const NONE: Self = Self(0);
    /// The model stopped by itself or a filter stopped it.
    pub(crate) const FINISHED: Self = Self(1);
    /// The output reached its limit.
    pub(crate) const LIMIT: Self = Self(2);
    pub(crate) const FAILED: Self = Self(4);
    /// The context was full or the word is unknown.
    pub(crate) const OTHER: Self = Self(8);

    /// Reads a finish reason in any case.
    ///
    /// An empty one means nothing, because some servers send it with each event.
    pub(crate) fn of(word: Word<'_>) -> Self {
        if word.is_empty() {
            return Self::NONE;
        }
        let mut buffer = [0; BoundedWord::MAX];
        match word.folded(&mut buffer) {
            // llama.cpp, DashScope and TensorRT-LLM send these while they generate.
            b"none" | b"null" | b"not_finished" => Self::NONE,
            // OpenAI, vLLM, SGLang, llama.cpp, Together, Bedrock.
            b"stop" | b"tool_calls" | b"tool_call" | b"function_call" | b"content_filter"
            | b"content_filtered"
            // TGI (router/src/lib.rs, FinishReason) and Together; llama.cpp's `stop_type`.
            | b"eos_token" | b"eos" | b"stop_sequence" | b"word"
            // Anthropic and Bedrock; Cohere; OpenAI's responses.
            | b"end_turn" | b"tool_use" | b"complete" | b"completed" | b"succeeded" => {
                Self::FINISHED
            }
            // OpenAI and most others; Anthropic, Cohere and Gemini; OpenAI's responses; llama.cpp.
            b"length" | b"max_tokens" | b"max_output_tokens" | b"limit" => Self::LIMIT,
            // vLLM (v1/engine/__init__.py), SGLang, Mistral, OpenRouter; TensorRT-LLM; DeepSeek.
            b"abort" | b"aborted" | b"errored" | b"cancelled" | b"canceled"
            | b"timeout" | b"timed_out" | b"insufficient_system_resource" | b"user_cancel"
            // OpenAI's responses and batches; MLC; Gemini.
            | b"failed" | b"failure" | b"fail" | b"preempt" | b"rejected" | b"expired"
            | b"malformed_function_call" | b"unexpected_tool_call" => Self::FAILED,
            // Among others `error_toxic` of Cohere, `network_error` of Zhipu and `server_error`.
            word if word.starts_with(b"error") || word.ends_with(b"error") => Self::FAILED,
            // These include `model_length` of Mistral, `model_context_window_exceeded`,
            // `pause_turn` and `refusal` of Anthropic, `repetition` of vLLM and `SAFETY` of Gemini.
            _ => Self::OTHER,
        }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
