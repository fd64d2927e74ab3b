//! The routes that reach a model and the forms of their bodies.

use super::BodyForm;

/// Below `/v1`.
const OPENAI: [&str; 16] = [
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/edits",
    "/images/generations",
    "/images/variations",
    "/messages",
    "/messages/count_tokens",
    "/moderations",
    "/rerank",
    "/responses",
    "/responses/input_tokens",
    "/score",
];

const TGI: [&str; 7] = [
    "/",
    "/chat_tokenize",
    "/generate",
    "/generate_stream",
    "/invocations",
    "/tokenize",
    "/vertex",
];

const TEI: [&str; 8] = [
    "/decode",
    "/embed",
    "/embed_all",
    "/embed_sparse",
    "/embeddings",
    "/predict",
    "/rerank",
    "/similarity",
];

/// The routes that may follow a model's name in a path.
const BELOW_MODEL: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

/// Returns whether every reader reads the path alike.
pub(crate) fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().all(plain)
        && path.strip_prefix('/').is_some_and(|path| {
            let mut segments = path.split('/').rev();
            // The last segment may be empty. A slash at the end makes another path.
            segments.next().is_some_and(|last| !is_dots(last))
                && segments.all(|segment| !segment.is_empty() && !is_dots(segment))
        })
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Returns whether a path is a route of OpenAI below `/v1`.
pub(super) fn is_openai(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|path| OPENAI.contains(&path))
}

/// Returns whether a path has more segments below a first one that may be a provider's name.
pub(super) fn is_below_name(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(first, _)| first != "v1")
}

/// Returns whether a path is a route of an endpoint's model: TGI, TEI or a server with OpenAI's API.
pub(crate) fn is_of_endpoint(path: &str) -> bool {
    is_openai(path) || TGI.contains(&path) || TEI.contains(&path)
}

/// Returns whether a path below a provider's name is a route of OpenAI.
pub(super) fn is_openai_of_provider(path: &str) -> bool {
    let mut prefixes = ["/openai", "/inference", "/compatibility"].into_iter();
    is_openai(path) || prefixes.any(|prefix| path.strip_prefix(prefix).is_some_and(is_openai))
}

/// A path below `models/`.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct ModelRoute<'a> {
    pub(super) model: &'a str,
    /// Whether a route of OpenAI follows. Its bodies also have a `model`.
    pub(super) openai: bool,
}

/// Parses `{model}`, `{model}/pipeline/{task}` or `{model}/v1/…`.
pub(super) fn model_route(rest: &str) -> ModelRoute<'_> {
    if let Some(model) = BELOW_MODEL.iter().find_map(|route| rest.strip_suffix(route)) {
        return ModelRoute { model, openai: true };
    }
    let task = rest.rsplit_once('/').and_then(|(rest, task)| {
        let task = !task.is_empty() && task.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        rest.strip_suffix("/pipeline").filter(|_| task)
    });
    ModelRoute { model: task.unwrap_or(rest), openai: false }
}

/// Returns the form of the bodies of a path.
///
/// The end of the path decides, so routes below a prefix or a provider's name are known too. A path that
/// some upstreams read as another one (percent signs, case, doubled and trailing slashes, matrix
/// parameters) has the form of that one.
pub(super) fn form(path: &str) -> BodyForm {
    // Nearly every request has one of these paths.
    match path {
        "/v1/chat/completions" => return BodyForm::Chat,
        "/v1/embeddings" => return BodyForm::Embeddings,
        "/v1/responses" => return BodyForm::Responses,
        "/v1/messages" => return BodyForm::Messages,
        _ => {}
    }
    ambiguous(path).map_or_else(|| form_of_exact(path), |other| form_of_exact(&other))
}

/// Returns what some upstreams read in place of the path. `None` if all read it alike.
pub(super) fn ambiguous(path: &str) -> Option<String> {
    is_ambiguous(path).then(|| normalised(path))
}

fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    let odd = |b: &u8| matches!(b, b'%' | b';' | b'\\');
    let pair = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    // Names of models may have capitals.
    let capitals = || bytes.iter().any(u8::is_ascii_uppercase) && !path.contains("/models/");
    bytes.iter().any(odd)
        || bytes.windows(2).any(pair)
        || path.len() > 1 && path.ends_with('/')
        || capitals()
}

fn form_of_exact(path: &str) -> BodyForm {
    // A model may have the name `org/embeddings`.
    let path = match path.split_once("/models/") {
        Some((_, rest)) => match rest.strip_prefix(model_route(rest).model) {
            Some("") | None => return BodyForm::Any,
            Some(route) => route,
        },
        None => path,
    };
    let Some((before, last)) = path.rsplit_once('/') else { return BodyForm::Unknown };
    let around = before.rsplit('/').next().unwrap_or_default();
    match (around, last) {
        ("pipeline", task) => task_form(task),
        ("chat", "completions") => BodyForm::Chat,
        // `/completion` and `/infill` are llama.cpp's own.
        (_, "completions" | "completion" | "infill") => BodyForm::Completion,
        (_, "responses") => BodyForm::Responses,
        (_, "messages") => BodyForm::Messages,
        (_, "generate" | "generate_stream") => BodyForm::Generate,
        ("", "") | (_, "invocations" | "vertex") => BodyForm::Any,
        (_, "predict") => BodyForm::Predict,
        ("audio", "speech" | "transcriptions" | "translations")
        | ("images", "edits" | "generations" | "variations") => BodyForm::Media,
        // `/embedding` is llama.cpp's own.
        (_, "embeddings" | "embedding") => BodyForm::Embeddings,
        (_, "embed" | "embed_all" | "embed_sparse") => BodyForm::Embed,
        // `/reranking` is llama.cpp's own.
        (_, "rerank" | "reranking") => BodyForm::Rerank,
        (_, "similarity") => BodyForm::Similarity,
        ("responses" | "completions", "input_tokens")
        | (
            _,
            "apply-template" | "chat_tokenize" | "classify" | "count_tokens" | "decode"
            | "detokenize" | "moderations" | "pooling" | "score" | "tokenize",
        ) => BodyForm::Reads,
        _ => BodyForm::Unknown,
    }
}

/// Returns the form of a task of the Hub.
fn task_form(task: &str) -> BodyForm {
    match task {
        "feature-extraction" => BodyForm::FeatureExtraction,
        "sentence-similarity" => BodyForm::SentenceSimilarity,
        "fill-mask"
        | "question-answering"
        | "table-question-answering"
        | "text-classification"
        | "token-classification"
        | "zero-shot-classification" => BodyForm::Reads,
        "text-to-audio" | "text-to-image" | "text-to-speech" | "text-to-video" => BodyForm::Media,
        _ => BodyForm::Any,
    }
}

/// Returns the path as the least strict reader reads it.
pub(super) fn normalised(path: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut folded = String::with_capacity(decoded.len());
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split([';', '?', '#']).next().unwrap_or_default();
        match segment {
            "" | "." => {}
            ".." => folded.truncate(folded.rfind('/').unwrap_or_default()),
            segment => {
                folded.push('/');
                folded.push_str(segment);
            }
        }
    }
    folded.make_ascii_lowercase();
    if folded.is_empty() {
        folded.push('/');
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_plain_when_every_reader_agrees() {
        for path in ["/", "/v1/models", "/a/b.c/d_e-f~g/", "/...", "/.x"] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "", "*", "v1", "//", "//a", "/a//b", "/a//", "/.", "/..", "/a/.", "/a/../b", "/a/./b",
            "/%61", "/a%2fb", "/a\\b", "/a;b", "/a b", "/a:b", "/\u{e9}", "/a?b", "/a#b", "/a\0",
        ] {
            assert!(!is_plain(path), "{path:?}");
        }
    }

    #[test]
    fn a_model_route_is_split_at_its_route() {
        let parts = |rest| {
            let ModelRoute { model, openai } = model_route(rest);
            (model, openai)
        };
        assert_eq!(parts("gpt2"), ("gpt2", false));
        assert_eq!(parts("a/b"), ("a/b", false));
        assert_eq!(parts("a/b/pipeline/feature-extraction"), ("a/b", false));
        assert_eq!(parts("a/pipeline/feature-extraction"), ("a", false));
        assert_eq!(parts("a/b/v1/chat/completions"), ("a/b", true));
        assert_eq!(parts("a/v1/completions"), ("a", true));
        // None of these is a name of the Hub.
        for rest in ["a/b/", "a/b/pipeline", "a/b/pipeline/", "a/b/pipeline/X", "a/b/v1/files"] {
            assert_eq!(parts(rest), (rest, false));
        }
        assert_eq!(parts("/pipeline/x"), ("", false));
    }

    mod forms {
        use super::*;

        #[test]
        fn each_route_has_its_forms() {
            for (path, expected) in [
                ("/v1/chat/completions", BodyForm::Chat),
                ("/chat/completions", BodyForm::Chat),
                ("/openai/deployments/gpt/chat/completions", BodyForm::Chat),
                ("/v1/v1/chat/completions", BodyForm::Chat),
                ("/models/a/b/v1/chat/completions", BodyForm::Chat),
                ("/v1/completions", BodyForm::Completion),
                ("/completion", BodyForm::Completion),
                ("/v1/responses", BodyForm::Responses),
                ("/v1/messages", BodyForm::Messages),
                ("/v1/messages/count_tokens", BodyForm::Reads),
                ("/generate", BodyForm::Generate),
                ("/generate_stream", BodyForm::Generate),
                ("/", BodyForm::Any),
                ("/invocations", BodyForm::Any),
                ("/vertex", BodyForm::Any),
                ("/predict", BodyForm::Predict),
                ("/models/gpt2", BodyForm::Any),
                ("/hf-inference/models/a/b", BodyForm::Any),
                ("/models/a/b/pipeline/text-generation", BodyForm::Any),
                ("/models/a/b/pipeline/feature-extraction", BodyForm::FeatureExtraction),
                ("/models/a/b/pipeline/text-to-image", BodyForm::Media),
                ("/v1/embeddings", BodyForm::Embeddings),
                ("/v1/images/generations", BodyForm::Media),
                ("/v1/audio/speech", BodyForm::Media),
                ("/v1/chat/completions/input_tokens", BodyForm::Reads),
                ("/apply-template", BodyForm::Reads),
                ("/v1/reranking", BodyForm::Rerank),
                ("/chat", BodyForm::Unknown),
                ("/v1/files", BodyForm::Unknown),
                ("/api/generations", BodyForm::Unknown),
                ("*", BodyForm::Unknown),
                ("", BodyForm::Unknown),
            ] {
                assert_eq!(form(path), expected, "{path}");
            }
        }

        #[test]
        fn frequent_paths_have_the_form_of_the_rules() {
            for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"]
            {
                assert_eq!(form(path), form_of_exact(path), "{path}");
            }
        }

        #[test]
        fn a_models_name_is_not_a_route() {
            for path in [
                "/models/org/embeddings",
                "/models/embed",
                "/hf-inference/models/org/rerank",
                "/models/org/predict",
                "/models/org/%65mbeddings",
                "/Models/org/embeddings",
                "//models//org/embeddings",
            ] {
                assert_eq!(form(path), BodyForm::Any, "{path}");
            }
        }

        #[test]
        fn an_ambiguous_path_has_the_form_of_its_reading() {
            for path in [
                "/v1/chat/completions/",
                "//v1//chat//completions",
                "/v1/chat/completion%73",
                "/v1/chat%2Fcompletions",
                "/V1/Chat/Completions",
                "/v1/chat/completions;v=1",
                "/v1/chat;x=1/completions",
                "/v1/./chat/completions",
                "/v1/x/../chat/completions",
                "/v1/x/%2e%2E/chat/completions",
                "/v1\\chat\\completions",
                "/v1/chat/completions%3Fx",
            ] {
                assert_eq!(form(path), BodyForm::Chat, "{path}");
            }
            for path in ["//", "/.", "/%2e", "/;x"] {
                assert_eq!(form(path), BodyForm::Any, "{path}");
            }
        }

        #[test]
        fn every_known_route_has_a_form() {
            let openai = OPENAI.iter().map(|route| format!("/v1{route}"));
            let others = TGI.iter().chain(&TEI).map(|route| (*route).to_owned());
            let of_model = BELOW_MODEL.iter().map(|route| format!("/models/a/b{route}"));
            for path in openai.chain(others).chain(of_model) {
                assert_ne!(form(&path), BodyForm::Unknown, "{path}");
            }
        }
    }
}
