/// The form of the bodies that a route takes.
///
/// It tells where the prompt is, by which name the output is limited, how tokens are charged, and
/// which built-in schema applies. [`Profile::form`](super::Profile::form) tells the form of a path;
/// [`Profile::route`](super::Profile::route) names the form of a route of your own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BodyForm {
    /// A chat: `messages`, as OpenAI's `/v1/chat/completions`.
    Chat,
    /// A prompt to continue: `prompt`, as OpenAI's `/v1/completions`, llama.cpp's `/completion` and
    /// `/infill`.
    Completion,
    /// OpenAI's `/v1/responses`, with `input`, a stored prompt, a previous response or a
    /// conversation.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Text in `inputs`, as TGI's `/generate`. With `text` or `input_ids` it is SGLang's, with
    /// `prompt` that of vLLM's demo server.
    Generate,
    /// The body tells: a chat, a prompt, a task of Hugging Face, or `instances` of them. An
    /// endpoint's own routes (`/`, `/invocations`, `/vertex`), and `/models/{model}`.
    Any,
    /// TEI's `/predict`. With `parameters` it is any task, as in Hugging Face's inference toolkit.
    Predict,
    /// Texts to embed: `input`, as OpenAI's `/v1/embeddings`.
    Embeddings,
    /// Texts to embed: `inputs`, as TEI's `/embed`.
    Embed,
    /// Documents to rank by a query, as the `/rerank` of TEI, vLLM, Cohere and Jina.
    Rerank,
    /// A sentence, and others to compare it with, as TEI's `/similarity`.
    Similarity,
    /// Hugging Face's task of this name, at `…/pipeline/feature-extraction`.
    FeatureExtraction,
    /// Hugging Face's task of this name, at `…/pipeline/sentence-similarity`.
    SentenceSimilarity,
    /// JSON from which no text is generated: scores, classes, tokens.
    Reads,
    /// Images and sound in or out: no tokens of text are limited.
    Media,
    /// Unknown: never edited, refused where it names an output limit that is too great, and charged
    /// by its bytes.
    Unknown,
}
