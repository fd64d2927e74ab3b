use http::Request;

use crate::payload::{Kind, Node, Payload};

/// Returns whether a request limits its output, possibly by an edit of the gateway. The upstream's
/// default does not count.
///
/// A limit is a number in the root or in one of the objects with settings.
pub(crate) fn limits_output(request: &Request<Payload>) -> bool {
    let Ok(document) = request.body().document() else { return false };
    let root = document.root();
    let limits = |object: Node<'_>| {
        LIMITS.iter().any(|name| object.get(name).is_some_and(|node| node.kind() == Kind::Number))
    };
    limits(root) || SETTINGS.iter().any(|name| root.get(name).is_some_and(limits))
}

const LIMITS: [&str; 14] = [
    // OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral, Anthropic, Cohere.
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    // TGI, Transformers.
    "max_new_tokens",
    "max_length",
    // llama.cpp's own routes and Ollama.
    "n_predict",
    "num_predict",
    // Bedrock, Gemini and older servers.
    "maxTokens",
    "maxOutputTokens",
    "maxTokenCount",
    "max_gen_len",
    "max_tokens_to_sample",
    "max_tokens_to_generate",
    "maximum_tokens",
];

const SETTINGS: [&str; 8] = [
    "parameters",
    "sampling_params",
    "options",
    "generation_config",
    "generationConfig",
    "inferenceConfig",
    "textGenerationConfig",
    "extra_body",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_in_a_known_place() {
        let limits = |body: &str| {
            limits_output(&Request::new(Payload::buffered(body.to_owned().into_bytes())))
        };
        for body in [
            r#"{"max_tokens":5}"#,
            r#"{"max_completion_tokens":5e0}"#,
            r#"{"inputs":"a","parameters":{"max_new_tokens":5}}"#,
            r#"{"text":"a","sampling_params":{"max_new_tokens":5}}"#,
            r#"{"options":{"num_predict":5}}"#,
            r#"{"generationConfig":{"maxOutputTokens":5}}"#,
        ] {
            assert!(limits(body), "{body}");
        }
        for body in [
            "",
            "[5]",
            "{}",
            r#"{"max_tokens":null}"#,
            r#"{"metadata":{"max_tokens":5}}"#,
            r#"{"messages":[{"max_tokens":5}]}"#,
        ] {
            assert!(!limits(body), "{body}");
        }
    }
}
