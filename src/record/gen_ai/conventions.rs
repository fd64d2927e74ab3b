/// A version of OpenTelemetry's semantic conventions for generative AI.
///
/// The conventions are in development and rename attributes. A program keeps the names that its
/// dashboards read.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GenAiConventions {
    /// Version 1.41 of the [semantic conventions], the last one with this part.
    ///
    /// [semantic conventions]: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
    V1_41,
    /// The latest version that this crate knows, of the [conventions of their own].
    ///
    /// [conventions of their own]: https://github.com/open-telemetry/semantic-conventions-genai
    #[default]
    Latest,
}

/// An attribute of a call to a model.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GenAiAttribute {
    /// What the request asks for, such as `chat`.
    OperationName,
    /// The provider of the model, such as `openai`.
    ProviderName,
    /// The model that the client named.
    RequestModel,
    /// Whether the response is a stream.
    RequestStream,
    /// Seconds from the request to the first chunk of a stream.
    TimeToFirstChunk,
    /// Tokens of the prompt.
    InputTokens,
    /// Tokens of the response.
    OutputTokens,
    /// Tokens of the prompt that the upstream read from its cache.
    CacheReadInputTokens,
    /// Tokens of the prompt that the upstream wrote into its cache.
    CacheWriteInputTokens,
    /// Tokens of the response that are reasoning.
    ReasoningOutputTokens,
    /// The id that the upstream gave the completion.
    ResponseId,
    /// The model that generated the response.
    ResponseModel,
    /// Why the model stopped, one reason for each kind that came.
    ResponseFinishReasons,
}

impl GenAiConventions {
    /// Returns the name of an attribute.
    #[must_use]
    pub const fn name(self, attribute: GenAiAttribute) -> &'static str {
        match (attribute, self) {
            (GenAiAttribute::OperationName, _) => "gen_ai.operation.name",
            (GenAiAttribute::ProviderName, _) => "gen_ai.provider.name",
            (GenAiAttribute::RequestModel, _) => "gen_ai.request.model",
            (GenAiAttribute::RequestStream, _) => "gen_ai.request.stream",
            (GenAiAttribute::TimeToFirstChunk, _) => "gen_ai.response.time_to_first_chunk",
            (GenAiAttribute::InputTokens, _) => "gen_ai.usage.input_tokens",
            (GenAiAttribute::OutputTokens, _) => "gen_ai.usage.output_tokens",
            (GenAiAttribute::CacheReadInputTokens, _) => "gen_ai.usage.cache_read.input_tokens",
            (GenAiAttribute::CacheWriteInputTokens, Self::V1_41) => {
                "gen_ai.usage.cache_creation.input_tokens"
            }
            (GenAiAttribute::CacheWriteInputTokens, Self::Latest) => {
                "gen_ai.usage.cache_write.input_tokens"
            }
            (GenAiAttribute::ReasoningOutputTokens, _) => "gen_ai.usage.reasoning.output_tokens",
            (GenAiAttribute::ResponseId, _) => "gen_ai.response.id",
            (GenAiAttribute::ResponseModel, _) => "gen_ai.response.model",
            (GenAiAttribute::ResponseFinishReasons, _) => "gen_ai.response.finish_reasons",
        }
    }
}
