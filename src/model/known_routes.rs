//! The routes of inference that a gateway can open, with the handling of their bodies.
//!
//! Other routes of the same servers manage files, jobs, caches or the server itself. A path is compared
//! byte for byte. A dot segment, an encoded slash, a doubled slash or a slash at the end makes another
//! path, which is not known.

use super::name;
use crate::context::BodyMode;

/// The name of a route and the handling of its bodies.
type Row = (&'static str, BodyMode);

/// The route of the list of models, for GET and HEAD. All others are for POST.
pub(crate) const MODELS: &str = "/v1/models";

/// Routes with a fixed path.
pub(crate) const FIXED: &[Row] = &[
    // OpenAI.
    ("/v1/audio/speech", BodyMode::Json),
    ("/v1/audio/transcriptions", BodyMode::Streamed),
    ("/v1/audio/translations", BodyMode::Streamed),
    ("/v1/chat/completions", BodyMode::Json),
    ("/v1/completions", BodyMode::Json),
    ("/v1/embeddings", BodyMode::Json),
    ("/v1/images/edits", BodyMode::Streamed),
    ("/v1/images/generations", BodyMode::Json),
    ("/v1/images/variations", BodyMode::Streamed),
    ("/v1/moderations", BodyMode::Json),
    ("/v1/responses", BodyMode::Json),
    ("/v1/responses/input_tokens", BodyMode::Json),
    // Anthropic. vLLM, SGLang, llama.cpp and LiteLLM serve them too.
    ("/v1/messages", BodyMode::Json),
    ("/v1/messages/count_tokens", BodyMode::Json),
    // vLLM, SGLang and llama.cpp.
    ("/classify", BodyMode::Json),
    ("/completion", BodyMode::Json),
    ("/detokenize", BodyMode::Json),
    ("/embedding", BodyMode::Json),
    ("/infill", BodyMode::Json),
    ("/pooling", BodyMode::Json),
    ("/score", BodyMode::Json),
    ("/v1/rerank", BodyMode::Json),
    ("/v1/score", BodyMode::Json),
    ("/v2/rerank", BodyMode::Json),
    // TGI. `/` is also an endpoint's own handler, which takes sounds and images.
    ("/", BodyMode::Bytes),
    ("/chat_tokenize", BodyMode::Json),
    ("/generate", BodyMode::Json),
    ("/generate_stream", BodyMode::Json),
    ("/invocations", BodyMode::Json),
    ("/tokenize", BodyMode::Json),
    ("/vertex", BodyMode::Json),
    // TEI.
    ("/decode", BodyMode::Json),
    ("/embed", BodyMode::Json),
    ("/embed_all", BodyMode::Json),
    ("/embed_sparse", BodyMode::Json),
    ("/embeddings", BodyMode::Json),
    ("/predict", BodyMode::Json),
    ("/rerank", BodyMode::Json),
    ("/similarity", BodyMode::Json),
];

/// The prefixes of Hugging Face's tasks.
const TASKS: [&str; 2] = ["/hf-inference/models/", "/models/"];

/// `POST /models/load` and `/models/unload` load and unload models of llama.cpp. No model of the Hub has
/// these names.
const LLAMA_CPP_COMMANDS: [&str; 2] = ["load", "unload"];

/// Routes with the name of a model.
const OF_MODEL: [Row; 6] = [
    ("/models/{model}/pipeline/feature-extraction", BodyMode::Json),
    ("/models/{model}/pipeline/sentence-similarity", BodyMode::Json),
    ("/models/{model}/v1/chat/completions", BodyMode::Json),
    ("/models/{model}/v1/completions", BodyMode::Json),
    ("/models/{model}/v1/embeddings", BodyMode::Json),
    ("/models/{model}", BodyMode::Bytes),
];

/// Returns the route of a path with the name of a model.
pub(crate) fn of_model(path: &str) -> Option<Row> {
    let rest = TASKS.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    let (model, found) = OF_MODEL.iter().find_map(|route| {
        let suffix = route.0.strip_prefix("/models/{model}")?;
        Some((rest.strip_suffix(suffix)?, *route))
    })?;
    let is_model = name::is_of_hub(model) && !LLAMA_CPP_COMMANDS.contains(&model);
    is_model.then_some(found)
}

/// Returns whether this is the name of a route with the name of a model.
#[cfg(feature = "schema")]
pub(crate) fn names_a_model(name: &str) -> bool {
    OF_MODEL.iter().any(|(route, _)| *route == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BodyForm, Profile};

    #[test]
    fn every_known_route_has_a_form() {
        for (path, _) in FIXED {
            assert_ne!(Profile::compatible().form(path), BodyForm::Unknown, "{path}");
        }
        for (name, _) in OF_MODEL {
            let path = name.replace("{model}", "org/m");
            assert_ne!(Profile::compatible().form(&path), BodyForm::Unknown, "{path}");
            assert_eq!(of_model(&path).map(|(name, _)| name), Some(name));
        }
    }

    #[test]
    fn command_of_llama_cpp_is_no_model() {
        for path in ["/models/load", "/models/unload", "/hf-inference/models/load"] {
            assert_eq!(of_model(path), None, "{path}");
        }
        assert!(of_model("/models/org/load").is_some());
    }

    #[test]
    fn body_that_is_not_json_is_media_or_a_task() {
        for (path, body) in FIXED {
            let form = Profile::compatible().form(path);
            match body {
                BodyMode::Json => {}
                BodyMode::Bytes => assert_eq!(form, BodyForm::Any, "{path}"),
                BodyMode::Streamed => assert_eq!(form, BodyForm::Media, "{path}"),
            }
        }
    }
}
