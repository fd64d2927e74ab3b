use super::{
    container::Container, generated_text::TextKind, token_counts::CountKind,
    words::names_known_error,
};

/// The role of a JSON value by its name and its container.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum MemberRole {
    Usage,
    Response,
    /// `message` in the root: an object or the words of an error.
    Message,
    Delta,
    /// `token` in a stream of TGI.
    Token,
    XGroq,
    Meta,
    Tokens,
    BilledUnits,
    /// The parts of a count: `prompt_tokens_details` and `completion_tokens_details`.
    CountDetails,
    Details,
    Prefill,
    MetaInfo,
    UsageMetadata,
    Timings,
    Choices,
    IncompleteDetails,
    Error,
    Errors,
    /// An explanation of an error.
    Explanation,
    /// A status number or an error number.
    Code,
    Success,
    /// A member of any other name for an error, such as `error_code`.
    NamedError,
    /// A place for output: `content`, `output` or `result`.
    Output,
    /// A list of results, such as `data`.
    List,
    StatusHeader,
    /// The index of a choice.
    Index,
    GeneratedText,
    Type,
    Object,
    Status,
    /// The type and the status of an item of output in OpenAI's responses.
    ItemType,
    ItemStatus,
    FinishReason,
    /// The reason in `incomplete_details`.
    IncompleteReason,
    /// `done` of Ollama or `stop` of llama.cpp.
    Done,
    /// `truncated` of llama.cpp: the context was full.
    Truncated,
    /// `stopped_limit` of older llama.cpp.
    StoppedAtLimit,
    /// `stopped_eos` and `stopped_word` of older llama.cpp.
    StoppedByItself,
    /// A text that a model may have generated.
    Text(TextKind),
    /// The arguments of a tool: a text, or an object that the model wrote (Anthropic, Gemini, Ollama).
    Arguments,
    /// A token count.
    Count(CountKind),
    Other,
}

impl MemberRole {
    /// Returns the role of an object or array that is the value of this member in `around`.
    pub(super) const fn container(self, around: Container, object: bool) -> Container {
        match (around, self, object) {
            (Container::Outside, _, false) => Container::Batch,
            (Container::Outside | Container::Batch, _, true) => Container::Root,
            (Container::Batch, _, false) | (Container::Root, Self::List, false) => Container::Items,
            (Container::Items, _, true) => Container::Item,
            (Container::Root | Container::Part, Self::Output, false) => Container::OutputItems,
            (Container::OutputItems, _, true) => Container::OutputItem,
            (Container::Root, Self::StatusHeader, true) => Container::StatusHeader,
            (Container::Choice, Self::Message, true) => Container::ChoiceMessage,
            (Container::Root, Self::Usage, true) => Container::Usage,
            (
                Container::Root,
                Self::Response | Self::Message | Self::Delta | Self::XGroq | Self::Output,
                true,
            ) => Container::Part,
            (Container::Part, Self::Usage, true) => Container::PartUsage,
            (Container::Root | Container::Part, Self::Meta, true) => Container::Meta,
            (Container::Usage | Container::PartUsage | Container::Meta, Self::Tokens, true) => {
                Container::Tokens
            }
            (
                Container::Usage | Container::PartUsage | Container::Meta,
                Self::BilledUnits,
                true,
            ) => Container::BilledUnits,
            (Container::Usage, Self::CountDetails, true) => Container::UsageDetails,
            (Container::PartUsage, Self::CountDetails, true) => Container::PartUsageDetails,
            (Container::Root, Self::Details, true) => Container::Details,
            (Container::Details, Self::Prefill, false) => Container::Prefill,
            (Container::Root, Self::MetaInfo, true) => Container::MetaInfo,
            (Container::MetaInfo, Self::FinishReason, true) => Container::MetaInfoFinish,
            (Container::Root, Self::UsageMetadata, true) => Container::UsageMetadata,
            (Container::Root, Self::Timings, true) => Container::Timings,
            // DashScope has its choices in `output`.
            (Container::Root | Container::Part, Self::Choices, false) => Container::Choices,
            (Container::Choices, _, true) => Container::Choice,
            (Container::Root | Container::Part, Self::IncompleteDetails, true) => {
                Container::IncompleteDetails
            }
            (Container::Root, Self::Errors, false) => Container::Errors,
            _ => Container::Other,
        }
    }

    /// Returns whether its value is a token count, or may hold one.
    pub(super) const fn leads_to_counts(self) -> bool {
        matches!(
            self,
            Self::Usage
                | Self::Response
                | Self::Message
                | Self::Delta
                | Self::XGroq
                | Self::Output
                | Self::Meta
                | Self::Tokens
                | Self::BilledUnits
                | Self::CountDetails
                | Self::Details
                | Self::Prefill
                | Self::MetaInfo
                | Self::UsageMetadata
                | Self::Timings
                | Self::Count(_)
        )
    }

    /// Returns the role of a member of any container but the root.
    pub(super) fn of(container: Container, name: &[u8]) -> Self {
        match container {
            Container::Part => match name {
                b"usage" => Self::Usage,
                b"meta" => Self::Meta,
                b"error" => Self::Error,
                b"status" => Self::Status,
                b"incomplete_details" => Self::IncompleteDetails,
                b"choices" => Self::Choices,
                b"output" => Self::Output,
                b"finish_reason" | b"stop_reason" => Self::FinishReason,
                _ if names_known_error(name) => Self::NamedError,
                _ => Self::text(name),
            },
            Container::Usage | Container::PartUsage => match name {
                b"tokens" => Self::Tokens,
                b"billed_units" => Self::BilledUnits,
                _ => Self::count(name),
            },
            Container::UsageDetails | Container::PartUsageDetails => match name {
                b"cached_tokens" => Self::Count(CountKind::CachedDetail),
                b"reasoning_tokens" => Self::Count(CountKind::ReasoningDetail),
                b"cache_write_tokens" => Self::Count(CountKind::CacheWriteDetail),
                _ => Self::text(name),
            },
            Container::Tokens | Container::BilledUnits => match name {
                b"input_tokens" => Self::Count(CountKind::Input),
                b"output_tokens" => Self::Count(CountKind::Output),
                _ => Self::Other,
            },
            Container::Meta => match name {
                b"tokens" => Self::Tokens,
                b"billed_units" => Self::BilledUnits,
                _ => Self::Other,
            },
            Container::Details => match name {
                b"finish_reason" => Self::FinishReason,
                b"prefill" => Self::Prefill,
                b"input_length" => Self::Count(CountKind::Prompt),
                b"generated_tokens" => Self::Count(CountKind::Completion),
                _ => Self::Other,
            },
            Container::MetaInfo => match name {
                b"finish_reason" => Self::FinishReason,
                b"prompt_tokens" => Self::Count(CountKind::Prompt),
                b"completion_tokens" => Self::Count(CountKind::Completion),
                b"cached_tokens" => Self::Count(CountKind::Cached),
                b"reasoning_tokens" => Self::Count(CountKind::Reasoning),
                _ => Self::Other,
            },
            Container::MetaInfoFinish if name == b"type" => Self::FinishReason,
            Container::UsageMetadata => match name {
                b"promptTokenCount" => Self::Count(CountKind::Prompt),
                b"candidatesTokenCount" => Self::Count(CountKind::Completion),
                b"thoughtsTokenCount" => Self::Count(CountKind::Thoughts),
                b"totalTokenCount" => Self::Count(CountKind::Total),
                b"cachedContentTokenCount" => Self::Count(CountKind::Cached),
                _ => Self::Other,
            },
            Container::Timings => match name {
                // The prompt tokens that were computed, and those that were cached.
                b"prompt_n" => Self::Count(CountKind::Input),
                b"cache_n" => Self::Count(CountKind::CacheRead),
                b"predicted_n" => Self::Count(CountKind::Output),
                _ => Self::Other,
            },
            // `stop_reason` of vLLM is the stop string and no finish reason.
            Container::Choice => match name {
                b"finish_reason" | b"finishReason" => Self::FinishReason,
                b"index" => Self::Index,
                b"message" | b"delta" => Self::Message,
                b"error" => Self::Error,
                _ if names_known_error(name) => Self::NamedError,
                _ => Self::text(name),
            },
            Container::ChoiceMessage | Container::Item => match name {
                b"error" => Self::Error,
                _ => Self::text(name),
            },
            Container::OutputItem => match name {
                b"type" => Self::ItemType,
                b"status" => Self::ItemStatus,
                _ => Self::text(name),
            },
            Container::StatusHeader if matches!(name, b"status_code" | b"code") => Self::NamedError,
            Container::IncompleteDetails if name == b"reason" => Self::IncompleteReason,
            Container::Other => Self::text(name),
            _ => Self::Other,
        }
    }

    fn count(name: &[u8]) -> Self {
        match name {
            b"prompt_tokens" => Self::Count(CountKind::Prompt),
            b"completion_tokens" => Self::Count(CountKind::Completion),
            b"total_tokens" | b"totalTokens" => Self::Count(CountKind::Total),
            b"input_tokens" | b"inputTokens" => Self::Count(CountKind::Input),
            b"output_tokens" | b"outputTokens" => Self::Count(CountKind::Output),
            b"cache_creation_input_tokens" | b"cacheWriteInputTokens" => {
                Self::Count(CountKind::CacheCreation)
            }
            b"cache_read_input_tokens" | b"cacheReadInputTokens" => {
                Self::Count(CountKind::CacheRead)
            }
            // OpenAI's chat and its responses. Mistral has written the third name too.
            b"prompt_tokens_details"
            | b"input_tokens_details"
            | b"prompt_token_details"
            | b"completion_tokens_details"
            | b"output_tokens_details" => Self::CountDetails,
            // Moonshot, Together and Cohere; DeepSeek; Mistral.
            b"cached_tokens" | b"prompt_cache_hit_tokens" | b"num_cached_tokens" => {
                Self::Count(CountKind::Cached)
            }
            // SGLang and Perplexity.
            b"reasoning_tokens" => Self::Count(CountKind::Reasoning),
            _ => Self::Other,
        }
    }

    pub(super) fn text(name: &[u8]) -> Self {
        match name {
            b"arguments" | b"input" | b"args" => Self::Arguments,
            _ => TextKind::of(name).map_or(Self::Other, Self::Text),
        }
    }

    /// Returns the kind of text in a string of this member, if a model may have generated it.
    pub(super) const fn text_kind(self) -> Option<TextKind> {
        match self {
            Self::Text(kind) => Some(kind),
            Self::GeneratedText => Some(TextKind::Generated),
            Self::Response | Self::Delta | Self::Arguments => Some(TextKind::Content),
            _ => None,
        }
    }
}
