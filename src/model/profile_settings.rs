use http::HeaderName;
#[cfg(feature = "hf")]
use http::header::AUTHORIZATION;

/// The name of the output limit that is added to a chat without one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OutputLimit {
    /// `max_tokens` for vLLM, SGLang, TGI, llama.cpp, Ollama and Mistral.
    MaxTokens,
    /// `max_completion_tokens`. OpenAI's reasoning models reject the other name.
    MaxCompletionTokens,
}

/// Whether the gateway requests the usage of a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StreamUsage {
    /// The gateway sends `stream_options.include_usage`.
    Requested,
    /// The gateway sends no `stream_options`. The upstream reports usage unrequested or never. Mistral's
    /// API rejects `stream_options`.
    Unrequested,
}

/// The header that carries the upstream's token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TokenHeader {
    /// `authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    Bearer,
    /// The token alone in a header of this name. Anthropic takes `x-api-key` and Azure takes `api-key`.
    Plain(HeaderName),
}

impl TokenHeader {
    #[cfg(feature = "hf")]
    pub(crate) fn name(&self) -> HeaderName {
        match self {
            Self::Bearer => AUTHORIZATION,
            Self::Plain(name) => name.clone(),
        }
    }
}
