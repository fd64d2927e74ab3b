use crate::payload::{Decimal, Kind, Node};

/// Returns whether a request asks for a deterministic response: by a `temperature` of zero, a `seed`
/// or no sampling, or by its path.
///
/// `temperature`, `seed` and `do_sample` are members of the root (OpenAI) or of its `parameters`
/// (TGI and the tasks of Hugging Face). The root takes precedence.
pub(crate) fn is_deterministic(path: &str, root: Node<'_>) -> bool {
    if never_samples(path) {
        return true;
    }
    let parameters = root.get("parameters");
    let member = |name: &str| root.get(name).or_else(|| parameters?.get(name));
    let says = |name: &str, is: fn(Node<'_>) -> bool| member(name).is_some_and(is);
    says("seed", |seed| seed.kind() == Kind::Number)
        || says("temperature", |temperature| {
            temperature.number().is_some_and(|number| Decimal::new(number) == Decimal::new("0"))
        })
        || says("do_sample", |sample| sample.as_bool() == Some(false))
}

/// Returns whether the path belongs to a route without sampling: of OpenAI, Anthropic, TEI, TGI, vLLM or
/// llama.cpp, or to a pipeline of Hugging Face.
fn never_samples(path: &str) -> bool {
    const ROUTES: [&str; 18] = [
        "/chat_tokenize",
        "/classify",
        "/count_tokens",
        "/decode",
        "/detokenize",
        "/embed",
        "/embed_all",
        "/embed_sparse",
        "/embedding",
        "/embeddings",
        "/input_tokens",
        "/moderations",
        "/pooling",
        "/predict",
        "/rerank",
        "/score",
        "/similarity",
        "/tokenize",
    ];
    const PIPELINES: [&str; 6] = [
        "feature-extraction",
        "fill-mask",
        "sentence-similarity",
        "text-classification",
        "token-classification",
        "zero-shot-classification",
    ];
    let Some((before, last)) = path.rsplit_once('/') else { return false };
    if before.ends_with("/pipeline") {
        return PIPELINES.contains(&last);
    }
    // The last segment may be the name of a model, but not after `/v1`.
    let of_model = before.contains("/models") && !before.ends_with("/v1");
    !of_model && ROUTES.iter().any(|route| route.strip_prefix('/') == Some(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Document;

    fn at(path: &str, body: &str) -> bool {
        let document = Document::parse(body.to_owned()).unwrap();
        is_deterministic(path, document.root())
    }

    #[test]
    fn members_make_a_request_deterministic() {
        for body in [
            r#"{"temperature":0}"#,
            r#"{"temperature":-0.00e5}"#,
            r#"{"seed":7,"temperature":1}"#,
            r#"{"parameters":{"seed":0}}"#,
            r#"{"parameters":{"temperature":0.0}}"#,
            r#"{"parameters":{"do_sample":false}}"#,
        ] {
            assert!(at("/v1/chat/completions", body), "{body}");
        }
        for body in [
            "{}",
            "[]",
            "7",
            r#"{"temperature":1e-9}"#,
            r#"{"temperature":"0"}"#,
            r#"{"temperature":null}"#,
            r#"{"seed":null}"#,
            r#"{"seed":"7"}"#,
            r#"{"temperature":1,"parameters":{"temperature":0}}"#,
            r#"{"messages":[{"temperature":0,"seed":1}]}"#,
            r#"{"parameters":[{"seed":1}]}"#,
            r#"{"parameters":{"do_sample":true}}"#,
        ] {
            assert!(!at("/v1/chat/completions", body), "{body}");
        }
    }

    #[test]
    fn paths_make_a_request_deterministic() {
        for path in [
            "/v1/embeddings",
            "/embed",
            "/together/v1/embeddings",
            "/hf-inference/models/org/name/pipeline/feature-extraction",
            "/models/org/name/v1/embeddings",
            "/rerank",
            "/classify",
            "/pooling",
            "/embedding",
            "/decode",
            "/detokenize",
            "/chat_tokenize",
            "/v1/messages/count_tokens",
            "/v1/responses/input_tokens",
        ] {
            assert!(at(path, r#"{"input":"x"}"#), "{path}");
        }
        for path in [
            "/v1/chat/completions",
            "/hf-inference/models/org/embed",
            "/models/embed",
            "/hf-inference/models/org/name/pipeline/text-generation",
            "/embed/x",
            "embed",
            "",
        ] {
            assert!(!at(path, r#"{"inputs":"x"}"#), "{path}");
        }
    }
}
