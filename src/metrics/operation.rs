/// Returns `gen_ai.operation.name` of a route with the name of its path, or an empty text.
///
/// The conventions have `chat`, `text_completion` and `embeddings` for these routes. A route with a
/// name of the program's own has none.
pub(super) fn operation(route: &str) -> &'static str {
    let ends_with = |ends: &[&str]| ends.iter().any(|end| route.ends_with(end));
    if ends_with(&["/chat/completions", "/v1/messages", "/v1/responses"]) || route == "chat" {
        "chat"
    } else if ends_with(&[
        "/v1/completions",
        "/completion",
        "/generate",
        "/generate_stream",
        "/infill",
    ]) {
        "text_completion"
    } else if ends_with(&["/embeddings", "/embedding", "/embed", "/embed_all", "/embed_sparse"])
        || ends_with(&["/pipeline/feature-extraction"])
    {
        "embeddings"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn routes_of_the_conventions_have_an_operation() {
        for (route, expected) in [
            ("/v1/chat/completions", "chat"),
            ("/models/{model}/v1/chat/completions", "chat"),
            ("/v1/messages", "chat"),
            ("/v1/completions", "text_completion"),
            ("/generate_stream", "text_completion"),
            ("/v1/embeddings", "embeddings"),
            ("/models/{model}/pipeline/feature-extraction", "embeddings"),
            ("/rerank", ""),
            ("", ""),
        ] {
            assert_eq!(operation(route), expected, "{route}");
        }
    }
}
