/// The form of the bodies that a route takes.
///
/// The form decides the member of the prompt, the name of the output limit, the charge of tokens and the
/// built-in schema. [`Profile::form`](super::Profile::form) returns the form of a path.
/// [`Profile::route`](super::Profile::route) sets the form of a route of your own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BodyForm {
    /// A chat: `messages` of OpenAI's `/v1/chat/completions`.
    Chat,
    /// A prompt to continue: `prompt` of OpenAI's `/v1/completions` and of llama.cpp's `/completion` and
    /// `/infill`.
    Completion,
    /// OpenAI's `/v1/responses` with `input`, a stored prompt, a previous response or a conversation.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Text in `inputs` of TGI's `/generate`. A body with `text` or `input_ids` is SGLang's. A body with
    /// `prompt` is one of vLLM's demo server.
    Generate,
    /// The body decides: a chat, a prompt, a task of Hugging Face or `instances` of them. `/`,
    /// `/invocations`, `/vertex` and `/models/{model}` have this form.
    Any,
    /// TEI's `/predict`. With `parameters` it is any task of Hugging Face's inference toolkit.
    Predict,
    /// Texts to embed: `input` of OpenAI's `/v1/embeddings`.
    Embeddings,
    /// Texts to embed: `inputs` of TEI's `/embed`.
    Embed,
    /// Documents to rank by a query: `/rerank` of TEI, vLLM, Cohere and Jina.
    Rerank,
    /// A sentence and others to compare it with: TEI's `/similarity`.
    Similarity,
    /// Hugging Face's task of this name at `…/pipeline/feature-extraction`.
    FeatureExtraction,
    /// Hugging Face's task of this name at `…/pipeline/sentence-similarity`.
    SentenceSimilarity,
    /// JSON from which scores, classes or tokens are computed. No text is generated.
    Reads,
    /// Images and sound in or out. No tokens of text are limited.
    Media,
    /// An unknown form. The body is never edited and is charged by its bytes. It is rejected when it has a
    /// known output limit above the maximum.
    Unknown,
}
