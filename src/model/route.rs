//! Where models are reached.

/// Below `/v1`.
const OPENAI: [&str; 14] = [
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
    "/moderations",
    "/rerank",
    "/responses",
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

/// What may follow a model's name in a path.
const OF_MODEL: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

/// Whether the path can be read in one way only.
pub(super) fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().all(plain)
        && path.strip_prefix('/').is_some_and(|path| {
            let mut segments = path.split('/').rev();
            // Empty at the end: a slash at the end, which makes it another path.
            segments.next().is_some_and(|last| !is_dots(last))
                && segments.all(|segment| !segment.is_empty() && !is_dots(segment))
        })
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// `/v1/…` of OpenAI.
pub(super) fn is_openai(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|path| OPENAI.contains(&path))
}

/// Whether the path goes on below its first segment, and that may be the name of a provider.
pub(super) fn is_below_name(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(first, _)| first != "v1")
}

/// What an endpoint answers with its model: TGI, TEI, or any server that speaks as OpenAI does.
pub(super) fn is_of_endpoint(path: &str) -> bool {
    is_openai(path) || TGI.contains(&path) || TEI.contains(&path)
}

/// Whether below a provider's name this is a route of OpenAI.
pub(super) fn is_openai_of_provider(path: &str) -> bool {
    let mut prefixes = ["/openai", "/inference", "/compatibility"].into_iter();
    is_openai(path) || prefixes.any(|prefix| path.strip_prefix(prefix).is_some_and(is_openai))
}

/// A path below `models/`.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct OfModel<'a> {
    pub(super) model: &'a str,
    /// A route of OpenAI follows, whose bodies have a `model` as well.
    pub(super) openai: bool,
}

/// Takes `{model}`, `{model}/pipeline/{task}` or `{model}/v1/…` apart.
pub(super) fn of_model(rest: &str) -> OfModel<'_> {
    if let Some(model) = OF_MODEL.iter().find_map(|route| rest.strip_suffix(route)) {
        return OfModel { model, openai: true };
    }
    let task = rest.rsplit_once('/').and_then(|(rest, task)| {
        let task = !task.is_empty() && task.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        rest.strip_suffix("/pipeline").filter(|_| task)
    });
    OfModel { model: task.unwrap_or(rest), openai: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_plain_when_everybody_reads_the_same() {
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
    fn a_models_name_ends_where_its_route_begins() {
        let parts = |rest| {
            let OfModel { model, openai } = of_model(rest);
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
}
