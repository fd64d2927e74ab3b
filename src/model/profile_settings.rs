use http::HeaderName;

/// The name of the output limit that is added to a chat without one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OutputLimit {
    /// `max_tokens`, which vLLM, SGLang, TGI, llama.cpp, Ollama and Mistral take.
    MaxTokens,
    /// `max_completion_tokens`. OpenAI's reasoning models reject the other name.
    MaxCompletionTokens,
}

/// Whether a stream is asked for its usage.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StreamUsage {
    /// The gateway requests the usage with `stream_options.include_usage`.
    Requested,
    /// The gateway does not request the usage. The upstream sends it unrequested or never. Mistral's API
    /// rejects `stream_options`.
    Unrequested,
}

/// The header that carries the upstream's token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TokenHeader {
    /// `authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    Bearer,
    /// The token alone in a header of this name: `x-api-key` for Anthropic, `api-key` for Azure.
    Plain(HeaderName),
}
