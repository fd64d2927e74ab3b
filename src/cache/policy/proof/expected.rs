use http::Request;

use super::{
    choices::choices,
    generated::{completion, generated},
    media::{images, transcript},
    output::{message, output},
    result_end::ResultEnd,
    scores::{classes, flags, scores},
    task::task,
    value::{all, explains, has, is_filled, is_number, is_text},
    vectors::vectors,
};
use crate::{
    model::{BodyForm, Profile},
    payload::{Kind, Node, Payload},
};

/// The result that the response to a request must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedResult {
    kind: ResultKind,
    /// The number of texts in the request.
    inputs: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ResultKind {
    Chat,
    Completion,
    Responses,
    Message,
    Generated,
    Vectors,
    Ranking,
    Similarities,
    Classes,
    Flags,
    Tokens,
    TokenCount,
    Text,
    Texts,
    Images,
    Sound,
    Transcript,
    /// Any task. The server's model decides.
    Any,
    /// No form is known, so no result is.
    Unknown,
}

impl ExpectedResult {
    /// Returns what the path and the body of a request ask for.
    pub(crate) fn of(request: &Request<Payload>) -> Self {
        let path = request.uri().path();
        let document = request.body().document();
        let root = document.as_ref().ok().map(|document| document.root());
        let inputs = root.map_or(1, inputs);
        let form = Profile::compatible().form(path);
        let last = path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default();
        let kind = match form {
            BodyForm::Chat => ResultKind::Chat,
            BodyForm::Completion => ResultKind::Completion,
            BodyForm::Responses => ResultKind::Responses,
            BodyForm::Messages => ResultKind::Message,
            BodyForm::Generate => ResultKind::Generated,
            BodyForm::Embeddings | BodyForm::Embed | BodyForm::FeatureExtraction => {
                ResultKind::Vectors
            }
            BodyForm::Rerank => ResultKind::Ranking,
            BodyForm::Similarity | BodyForm::SentenceSimilarity => ResultKind::Similarities,
            // Hugging Face's toolkit and TEI share this route.
            BodyForm::Predict if root.is_some_and(|root| root.get("parameters").is_some()) => {
                ResultKind::Any
            }
            BodyForm::Predict => ResultKind::Classes,
            BodyForm::Any => ResultKind::Any,
            BodyForm::Reads => match last {
                "moderations" => ResultKind::Flags,
                "chat_tokenize" | "tokenize" => ResultKind::Tokens,
                "count_tokens" | "input_tokens" => ResultKind::TokenCount,
                "detokenize" => ResultKind::Text,
                "decode" => ResultKind::Texts,
                _ => ResultKind::Classes,
            },
            BodyForm::Media => match last {
                "transcriptions" | "translations" => ResultKind::Transcript,
                "speech" | "text-to-audio" | "text-to-speech" => ResultKind::Sound,
                _ => ResultKind::Images,
            },
            _ => ResultKind::Unknown,
        };
        Self { kind, inputs }
    }

    /// Returns whether a response without a known result may be stored.
    pub(crate) const fn is_unknown(self) -> bool {
        matches!(self.kind, ResultKind::Unknown)
    }

    /// Returns whether the result may be an image, a sound or a video.
    pub(crate) const fn may_be_media(self) -> bool {
        matches!(
            self.kind,
            ResultKind::Images | ResultKind::Sound | ResultKind::Any | ResultKind::Unknown
        )
    }

    /// Returns whether the result may come as a stream.
    pub(crate) const fn may_stream(self) -> bool {
        self.has_text_in_roots()
            || matches!(self.kind, ResultKind::Chat | ResultKind::Responses | ResultKind::Message)
    }

    /// Returns whether the events of a stream may have their text in the root.
    pub(crate) const fn has_text_in_roots(self) -> bool {
        matches!(
            self.kind,
            ResultKind::Completion | ResultKind::Generated | ResultKind::Any | ResultKind::Unknown
        )
    }

    /// Returns the end of the result in a document. Returns `None` if it does not hold the result.
    pub(crate) fn in_document(self, root: Node<'_>) -> Option<ResultEnd> {
        let holds = match self.kind {
            ResultKind::Chat => return choices(root),
            ResultKind::Completion => return completion(root),
            ResultKind::Responses => return output(root),
            ResultKind::Message => return message(root),
            // Results of these kinds have no message beside them.
            _ if explains(root) => false,
            ResultKind::Generated => return generated(root),
            ResultKind::Any => return task(root),
            ResultKind::Vectors => vectors(root).is_some_and(|count| count >= self.inputs),
            ResultKind::Ranking => scores(root),
            ResultKind::Similarities => all(root.get("similarities").unwrap_or(root), is_number),
            ResultKind::Classes => classes(root),
            ResultKind::Flags => flags(root),
            ResultKind::Tokens => tokens(root),
            ResultKind::TokenCount => has(root, "input_tokens", is_number),
            ResultKind::Text => {
                ["prompt", "content", "text"].iter().any(|name| has(root, name, is_text))
            }
            ResultKind::Texts => all(root, is_text),
            ResultKind::Images => images(root),
            ResultKind::Transcript => transcript(root),
            ResultKind::Sound => false,
            ResultKind::Unknown => true,
        };
        holds.then_some(ResultEnd::Stated)
    }
}

/// Returns the number of texts to embed. An array of numbers is one text in tokens.
fn inputs(root: Node<'_>) -> u64 {
    let texts = root.get("input").or_else(|| root.get("inputs"));
    let texts = texts
        .filter(|texts| texts.elements().next().is_some_and(|first| first.kind() != Kind::Number));
    texts.map_or(1, |texts| texts.len() as u64)
}

/// Returns whether a document holds tokens: of TGI and TEI, or of vLLM, llama.cpp and Cohere.
fn tokens(root: Node<'_>) -> bool {
    fn is_token(token: Node<'_>) -> bool {
        is_number(token) || has(token, "id", is_number)
    }
    fn are_tokens(tokens: Node<'_>) -> bool {
        all(tokens, is_token)
    }
    let named = || root.get("tokens").or_else(|| root.get("tokenize_response"));
    match root.kind() {
        Kind::Array => are_tokens(root) || all(root, are_tokens),
        _ => named().is_some_and(|tokens| is_filled(tokens) && are_tokens(tokens)),
    }
}
