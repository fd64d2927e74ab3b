use http::Request;

use crate::{
    model::BodyForm,
    payload::{Node, Payload},
};

/// Returns the smallest output limit of a request, possibly of an edit of the gateway. The
/// upstream's default does not count, and -1 is no limit.
///
/// A limit is a whole number where the form of the request reads it. A request of an unknown form may
/// have it in the root or in one of the objects with settings.
pub(crate) fn output_limit(request: &Request<Payload>, form: BodyForm) -> Option<u64> {
    let document = request.body().document().ok()?;
    let root = document.root();
    let (in_root, in_settings, settings): (&[&str], &[&str], &[&str]) = match form {
        BodyForm::Chat => (&["max_tokens", "max_completion_tokens"], &[], &[]),
        BodyForm::Completion => (&["max_tokens", "n_predict"], &[], &[]),
        BodyForm::Responses => (&["max_output_tokens"], &[], &[]),
        BodyForm::Messages => (&["max_tokens"], &[], &[]),
        // vLLM's demo server, TGI and SGLang.
        BodyForm::Generate => {
            (&["max_tokens"], &["max_new_tokens"], &["parameters", "sampling_params"])
        }
        _ => (&LIMITS, &LIMITS, &SETTINGS),
    };
    let limits = |object: Node<'_>, names: &[&str]| {
        let limit = |name: &&str| object.get(name).and_then(Node::as_u64);
        names.iter().filter_map(limit).min()
    };
    let in_settings = settings.iter().filter_map(|name| limits(root.get(name)?, in_settings)).min();
    limits(root, in_root).into_iter().chain(in_settings).min()
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
            let request = Request::new(Payload::buffered(body.to_owned().into_bytes()));
            output_limit(&request, BodyForm::Unknown).is_some()
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
            r#"{"max_tokens":-1}"#,
            r#"{"metadata":{"max_tokens":5}}"#,
            r#"{"messages":[{"max_tokens":5}]}"#,
        ] {
            assert!(!limits(body), "{body}");
        }
    }
}
