//! The names of OpenTelemetry's semantic conventions for generative AI.

use http::Method;

use crate::model::{BodyForm, Profile};

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
        }
    }
}

/// Returns the operation of a path, or of a route with the name of its path. `None` for one that is no
/// known route of inference.
pub(crate) fn operation_of_path(path: &str) -> Option<&'static str> {
    operation_of(Profile::compatible().form(path))
}

/// Returns the operation of a request. Inference is requested with POST alone: TGI generates at `POST /`,
/// and `GET /` is a page.
pub(crate) fn operation_of_request(method: &Method, path: &str) -> Option<&'static str> {
    if *method == Method::POST { operation_of_path(path) } else { None }
}

/// Returns the operation of a form of bodies as `gen_ai.operation.name` has it. `None` for a form that is
/// no inference.
///
/// `rerank` and `sentence_similarity` are names of this crate, which the conventions allow.
const fn operation_of(form: BodyForm) -> Option<&'static str> {
    match form {
        BodyForm::Chat | BodyForm::Responses | BodyForm::Messages => Some("chat"),
        BodyForm::Completion | BodyForm::Generate => Some("text_completion"),
        BodyForm::Embeddings | BodyForm::Embed | BodyForm::FeatureExtraction => Some("embeddings"),
        BodyForm::Any | BodyForm::Predict | BodyForm::Media => Some("generate_content"),
        BodyForm::Rerank => Some("rerank"),
        BodyForm::Similarity | BodyForm::SentenceSimilarity => Some("sentence_similarity"),
        BodyForm::Reads | BodyForm::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{operation_of_path, operation_of_request};

    #[test]
    fn only_post_requests_inference() {
        assert!(operation_of_request(&Method::POST, "/").is_some());
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            for path in ["/", "/v1/chat/completions"] {
                assert_eq!(operation_of_request(&method, path), None, "{method} {path}");
            }
        }
    }

    #[test]
    fn paths_and_names_of_routes_have_an_operation() {
        for (path, expected) in [
            ("/v1/chat/completions", Some("chat")),
            ("/models/{model}/v1/chat/completions", Some("chat")),
            ("/v1/messages", Some("chat")),
            ("/v1/completions", Some("text_completion")),
            ("/generate_stream", Some("text_completion")),
            ("/v1/embeddings", Some("embeddings")),
            ("/embed", Some("embeddings")),
            ("/rerank", Some("rerank")),
            ("/v1/models", None),
            ("", None),
        ] {
            assert_eq!(operation_of_path(path), expected, "{path}");
        }
    }
}
