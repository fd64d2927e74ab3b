use http::HeaderName;

/// The name by which the output of a chat is limited where the client names no limit.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OutputLimit {
    /// `max_tokens`, which vLLM, SGLang, TGI, llama.cpp, Ollama and Mistral take.
    MaxTokens,
    /// `max_completion_tokens`. OpenAI's reasoning models refuse the other name.
    MaxCompletionTokens,
}

/// How an upstream comes to tell the usage of a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StreamUsage {
    /// It tells the usage when `stream_options.include_usage` asks for it.
    Asked,
    /// It is not asked: it tells the usage by itself, or never. Mistral's API refuses
    /// `stream_options`.
    Unasked,
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
