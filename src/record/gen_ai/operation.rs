use http::Method;

use crate::model::{BodyForm, Profile};

/// Returns the operation of a request. Inference is requested with POST alone: TGI generates at `POST /`,
/// and `GET /` is a page.
pub(crate) fn operation_of_request(method: &Method, path: &str) -> Option<&'static str> {
    if *method == Method::POST { operation_of(Profile::compatible().form(path)) } else { None }
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

    use super::operation_of_request;

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
    fn paths_have_an_operation() {
        for (path, expected) in [
            ("/v1/chat/completions", Some("chat")),
            ("/models/org/m/v1/chat/completions", Some("chat")),
            ("/v1/messages", Some("chat")),
            ("/v1/completions", Some("text_completion")),
            ("/generate_stream", Some("text_completion")),
            ("/v1/embeddings", Some("embeddings")),
            ("/embed", Some("embeddings")),
            ("/rerank", Some("rerank")),
            ("/v1/models", None),
            ("", None),
        ] {
            assert_eq!(operation_of_request(&Method::POST, path), expected, "{path}");
        }
    }
}
