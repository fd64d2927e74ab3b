//! The open inference paths by kind of upstream.
//!
//! A path is compared byte for byte. Nothing is decoded or normalised, so the upstream receives exactly
//! the path that is allowed here. A path with an encoded slash, a dot segment or a doubled or trailing
//! slash is another path and is closed.

use axum::http::Method;

/// An open route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    /// The name in the access log.
    pub(crate) name: &'static str,
    /// The value of the header `allow`.
    pub(crate) methods: &'static str,
    pub(crate) payload: Payload,
}

/// The handling of a route's payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Payload {
    /// JSON is buffered, validated and edited before it is sent upstream.
    Json,
    /// JSON as above. Any other body is buffered and forwarded.
    Any,
    /// Forms with images and audio are streamed.
    Streamed,
}

impl Route {
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|name| name == method.as_str())
    }
}

/// Returns the route at `path`. `None` for a closed path.
pub(crate) fn route(path: &str) -> Option<Route> {
    if path == "/v1/models" {
        return Some(Route { name: "/v1/models", methods: "GET, HEAD", payload: Payload::Json });
    }
    let kinds = KINDS.into_iter().flatten();
    let post = |(name, payload)| Route { name, methods: "POST", payload };
    kinds.copied().find(|(name, _)| *name == path).or_else(|| task(path)).map(post)
}

/// Returns the name, one path and the payload of each open route.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, String, Payload)> {
    let one_path = |name: &'static str, payload| (name, name.replace("{model}", "org/m"), payload);
    let kinds = KINDS.into_iter().chain([&OF_MODEL[..]]).flatten();
    let routes = kinds.map(move |(name, payload)| one_path(name, *payload));
    let below = OF_MODEL.iter().map(move |(name, payload)| {
        let (name, path, payload) = one_path(name, *payload);
        (name, format!("/hf-inference{path}"), payload)
    });
    std::iter::once(one_path("/v1/models", Payload::Json)).chain(routes).chain(below)
}

const KINDS: [&[(&str, Payload)]; 5] = [OPENAI, ANTHROPIC, SERVERS, TGI, TEI];

const OPENAI: &[(&str, Payload)] = &[
    ("/v1/audio/speech", Payload::Json),
    ("/v1/audio/transcriptions", Payload::Streamed),
    ("/v1/audio/translations", Payload::Streamed),
    ("/v1/chat/completions", Payload::Json),
    ("/v1/completions", Payload::Json),
    ("/v1/embeddings", Payload::Json),
    ("/v1/images/edits", Payload::Streamed),
    ("/v1/images/generations", Payload::Json),
    ("/v1/images/variations", Payload::Streamed),
    ("/v1/moderations", Payload::Json),
    ("/v1/responses", Payload::Json),
    ("/v1/responses/input_tokens", Payload::Json),
];

/// Anthropic's routes. vLLM, SGLang, llama.cpp and LiteLLM also serve them.
const ANTHROPIC: &[(&str, Payload)] =
    &[("/v1/messages", Payload::Json), ("/v1/messages/count_tokens", Payload::Json)];

/// Own routes of vLLM, SGLang and llama.cpp.
const SERVERS: &[(&str, Payload)] = &[
    ("/classify", Payload::Json),
    ("/completion", Payload::Json),
    ("/detokenize", Payload::Json),
    ("/embedding", Payload::Json),
    ("/infill", Payload::Json),
    ("/pooling", Payload::Json),
    ("/score", Payload::Json),
    ("/v1/rerank", Payload::Json),
    ("/v1/score", Payload::Json),
    ("/v2/rerank", Payload::Json),
];

const TGI: &[(&str, Payload)] = &[
    // An endpoint's own handler may take sounds and images.
    ("/", Payload::Any),
    ("/chat_tokenize", Payload::Json),
    ("/generate", Payload::Json),
    ("/generate_stream", Payload::Json),
    ("/invocations", Payload::Json),
    ("/tokenize", Payload::Json),
    ("/vertex", Payload::Json),
];

const TEI: &[(&str, Payload)] = &[
    ("/decode", Payload::Json),
    ("/embed", Payload::Json),
    ("/embed_all", Payload::Json),
    ("/embed_sparse", Payload::Json),
    ("/embeddings", Payload::Json),
    ("/predict", Payload::Json),
    ("/rerank", Payload::Json),
    ("/similarity", Payload::Json),
];

/// Where the tasks of Hugging Face are. Other providers' paths (`/together/v1/…`) stay closed.
const TASKS: [&str; 2] = ["/hf-inference/models/", "/models/"];

/// `/models/{model}`, and with what may follow it.
const OF_MODEL: [(&str, Payload); 6] = [
    ("/models/{model}/pipeline/feature-extraction", Payload::Json),
    ("/models/{model}/pipeline/sentence-similarity", Payload::Json),
    ("/models/{model}/v1/chat/completions", Payload::Json),
    ("/models/{model}/v1/completions", Payload::Json),
    ("/models/{model}/v1/embeddings", Payload::Json),
    ("/models/{model}", Payload::Any),
];

/// A task's route.
fn task(path: &str) -> Option<(&'static str, Payload)> {
    let rest = TASKS.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    let (model, found) = OF_MODEL.iter().find_map(|route| {
        let suffix = route.0.strip_prefix("/models/{model}")?;
        Some((rest.strip_suffix(suffix)?, *route))
    })?;
    is_model(model).then_some(found)
}

/// `name` or `owner/name`, of the characters that the Hub allows.
fn is_model(model: &str) -> bool {
    let word = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (1..=96).contains(&word.len()) && !word.starts_with('.') && word.bytes().all(plain)
    };
    model.split('/').count() <= 2 && model.split('/').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(path: &str) -> Option<Payload> {
        route(path).map(|route| route.payload)
    }

    #[test]
    fn inference_is_open_by_kind_of_upstream() {
        for (path, payload_of_it) in KINDS.into_iter().flatten() {
            let found = route(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.name, found.payload), (*path, *payload_of_it));
            assert!(found.takes(&Method::POST) && !found.takes(&Method::GET), "{path}");
        }
        let models = route("/v1/models").unwrap();
        assert!(models.takes(&Method::GET) && models.takes(&Method::HEAD));
        assert!(!models.takes(&Method::POST));
    }

    #[test]
    fn tasks_are_open_for_any_model() {
        for path in [
            "/models/gpt2",
            "/models/openai/whisper-large-v3",
            "/hf-inference/models/google/vit-base_patch16.224",
        ] {
            assert_eq!(payload(path), Some(Payload::Any), "{path}");
        }
        for (path, name, payload) in [
            ("/models/gpt2/v1/completions", "/models/{model}/v1/completions", Payload::Json),
            (
                "/hf-inference/models/a/b/v1/chat/completions",
                "/models/{model}/v1/chat/completions",
                Payload::Json,
            ),
            (
                "/hf-inference/models/a/b/pipeline/feature-extraction",
                "/models/{model}/pipeline/feature-extraction",
                Payload::Json,
            ),
            (
                "/hf-inference/models/b/pipeline/sentence-similarity",
                "/models/{model}/pipeline/sentence-similarity",
                Payload::Json,
            ),
        ] {
            let route = route(path).unwrap();
            assert_eq!((route.name, route.payload), (name, payload), "{path}");
        }
    }

    #[test]
    fn all_else_is_closed() {
        for path in [
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/files",
            "/v1/models/gpt2",
            "/v1/fine_tuning/jobs",
            "/metrics",
            "/info",
            "/health",
            "/docs",
            "/_custom_router/set-backends",
            "/api/models/distilbert/x",
            "/api/whoami-v2",
            "/together/v1/chat/completions",
            "/models",
            "/models/",
            "/hf-inference/models/",
            "/models/a/b/c",
            "/models/a/b/pipeline/text-to-image/x",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn other_spellings_of_an_open_path_are_closed() {
        for path in [
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/v1/./chat/completions",
            "/v1/x/../chat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/chat/completion%73",
            "/%761/chat/completions",
            "/V1/chat/completions",
            "/v1/chat/completions;x",
            "/v1\\chat\\completions",
            "/models/..",
            "/models/../metrics",
            "/models/%2e%2e/metrics",
            "/models/a/..",
            "/models/./a",
            "/models//a",
            "/models/a/",
            "/models/a//v1/completions",
            "/models/a%2Fb",
            "/models/a b",
            "/models/a?x",
            "/models/é",
            "/hf-inference/models/../../api/whoami-v2",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
