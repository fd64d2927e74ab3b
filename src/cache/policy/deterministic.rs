use crate::payload::{Kind, Node};

/// Returns whether a request asks for a deterministic response: by a `temperature` of zero, a `seed`
/// or no sampling, or by its path.
///
/// `temperature`, `seed` and `do_sample` are members of the root (OpenAI) or of its `parameters`
/// (TGI and the tasks of Hugging Face). The root takes precedence.
pub(crate) fn is_deterministic(path: &str, root: Node<'_>) -> bool {
    // The members first: most deterministic requests have them.
    does_not_sample(root) || never_samples(path)
}

fn does_not_sample(root: Node<'_>) -> bool {
    let mut members = Members::default();
    let mut parameters = None;
    for (name, member) in root.members() {
        match &*name {
            "parameters" => parameters = Some(member),
            name => members.add(name, member),
        }
    }
    let mut inner = Members::default();
    let parameters = parameters.into_iter().flat_map(Node::members);
    parameters.for_each(|(name, member)| inner.add(&name, member));
    let seed = members.seed.or(inner.seed);
    let temperature = members.temperature.or(inner.temperature);
    let do_sample = members.do_sample.or(inner.do_sample);
    seed.is_some_and(|seed| seed.kind() == Kind::Number)
        || temperature.and_then(Node::number).is_some_and(is_zero)
        || do_sample.is_some_and(|sample| sample.as_bool() == Some(false))
}

/// The members of an object that control sampling.
///
/// They are found in one pass: bodies have few members, and each lookup would scan them.
#[derive(Default)]
struct Members<'a> {
    seed: Option<Node<'a>>,
    temperature: Option<Node<'a>>,
    do_sample: Option<Node<'a>>,
}

impl<'a> Members<'a> {
    fn add(&mut self, name: &str, member: Node<'a>) {
        match name {
            "seed" => self.seed = Some(member),
            "temperature" => self.temperature = Some(member),
            "do_sample" => self.do_sample = Some(member),
            _ => {}
        }
    }
}

/// Returns whether a JSON number is zero. Its exponent does not matter.
fn is_zero(number: &str) -> bool {
    let digits = number.split(['e', 'E']).next().unwrap_or_default();
    !digits.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
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
            r#"{"temperature":0E-7,"parameters":null}"#,
            r#"{"t\u0065mperature":0}"#,
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
            r#"{"temperature":0.001e0}"#,
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
