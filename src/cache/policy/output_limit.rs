use http::Request;

use crate::{
    model::BodyForm,
    payload::{Kind, Node, Payload},
};

/// Returns the output limit of a request for all its results together, possibly of an edit of the
/// gateway. The upstream's default does not count, and -1 is no limit.
///
/// A limit is a whole number where the form of the request reads it. A request of an unknown form may
/// have it in the root or in one of the objects with settings. The largest of several limits may be the
/// one in force. Each result may reach it.
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
    let limit = limit_in(root, (in_root, in_settings), settings).or_else(|| {
        // Each instance of a request to Vertex AI has its own settings.
        let instances = root.get("instances").filter(|instances| !instances.is_empty())?.elements();
        let mut limits =
            instances.map(|instance| limit_in(instance, (&LIMITS, &LIMITS), &SETTINGS));
        // All need one. Their sum is at most that of the largest for each.
        limits.try_fold(0, |largest: u64, limit| Some(largest.max(limit?)))
    });
    limit.map(|limit| limit.saturating_mul(results(root)))
}

/// Returns the largest limit in an object or in its objects with settings.
fn limit_in(object: Node<'_>, names: (&[&str], &[&str]), settings: &[&str]) -> Option<u64> {
    let settings = settings.iter().filter_map(|name| object.get(name));
    largest(object, names.0)
        .into_iter()
        .chain(settings.filter_map(|one| largest(one, names.1)))
        .max()
}

/// Returns the largest number among members of an object.
fn largest(object: Node<'_>, names: &[&str]) -> Option<u64> {
    names.iter().filter_map(|name| object.get(name).and_then(Node::as_u64)).max()
}

/// Returns the number of results that a request wants: the number for each prompt times the number of prompts.
fn results(root: Node<'_>) -> u64 {
    let settings = ["parameters", "sampling_params", "generationConfig"];
    let in_settings = settings.iter().filter_map(|name| largest(root.get(name)?, &COUNTS)).max();
    let each = largest(root, &COUNTS).max(in_settings).unwrap_or(1).max(1);
    let prompts =
        ["prompt", "inputs", "text", "input_ids", "instances"].iter().filter_map(|name| {
            let prompts = root.get(name).filter(|prompts| prompts.kind() == Kind::Array)?;
            // Numbers are the tokens of one prompt.
            let of_numbers = prompts.elements().next()?.kind() == Kind::Number;
            Some(if of_numbers { 1 } else { prompts.len() as u64 })
        });
    each.saturating_mul(prompts.max().unwrap_or(1))
}

/// The names of the number of results for each prompt.
const COUNTS: [&str; 6] =
    ["n", "best_of", "n_cmpl", "num_generations", "num_return_sequences", "candidateCount"];

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
