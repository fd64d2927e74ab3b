//! Tells which requests may be sent twice.

use http::{HeaderMap, Method, Uri};

use crate::{
    model::{is_of_endpoint, is_plain},
    payload::{DocumentError, Node, Payload, says_json},
};

/// Members that bind a request to something the upstream keeps or runs: stored responses,
/// background jobs and conversations of OpenAI, containers and MCP servers of Anthropic.
const STATEFUL: [&str; 5] = ["background", "container", "conversation", "mcp_servers", "store"];

/// Whether the upstream keeps something of the request, as far as route and body say.
pub(super) fn is_stateful(uri: &Uri, headers: &HeaderMap, payload: &Payload) -> bool {
    let path = uri.path();
    if !is_plain(path) || path.split('/').any(|segment| matches!(segment, "batches" | "files")) {
        return true;
    }
    match payload.document() {
        Ok(document) => {
            let root = document.root();
            root.members().any(|(name, value)| is_stateful_member(&name, value))
                // OpenAI stores responses unless it is told not to.
                || (is_responses(path) && root.get("store").and_then(Node::as_bool) != Some(false))
        }
        Err(DocumentError::Empty) => false,
        // JSON that cannot be read may say anything. Other bodies have no members.
        Err(_) => says_json(headers),
    }
}

/// Whether sending the request twice changes nothing but its cost: a `GET` or `HEAD` (RFC 9110
/// section 9.2.2), or a JSON body to an inference route with nothing [stateful](is_stateful) in it.
pub(crate) fn is_stateless(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    payload: &Payload,
) -> bool {
    if is_stateful(uri, headers, payload) {
        return false;
    }
    if *method != Method::POST {
        return matches!(*method, Method::GET | Method::HEAD);
    }
    is_inference(uri.path())
        && payload.document().is_ok_and(|document| {
            // Other tools run at the upstream, and may act there.
            let tools = document.root().get("tools").map(Node::elements);
            tools.into_iter().flatten().all(|tool| {
                let kind = tool.get("type").and_then(Node::as_str);
                kind.is_none_or(|kind| matches!(&*kind, "custom" | "function"))
            })
        })
}

fn is_stateful_member(name: &str, value: Node<'_>) -> bool {
    // In any case, because Go's `encoding/json` reads names so.
    STATEFUL.iter().any(|stateful| name.eq_ignore_ascii_case(stateful))
        && !value.is_null()
        && value.as_bool() != Some(false)
}

fn is_responses(path: &str) -> bool {
    path.ends_with("/responses")
}

/// Whether the path, or its end below the path of an origin or a provider, is an inference route.
fn is_inference(path: &str) -> bool {
    let openai = path.rfind("/v1/").and_then(|at| path.get(at..));
    let of_model = path.strip_prefix("/hf-inference").unwrap_or(path).strip_prefix("/models/");
    is_of_endpoint(path) || openai.is_some_and(is_of_endpoint) || of_model.is_some()
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    /// Whether a `POST` may reach the upstream twice: after a refusal, and after a silent close.
    fn post(path: &str, body: &'static str) -> (bool, bool) {
        let uri = Uri::try_from(path).unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
        let payload = Payload::buffered(body);
        let stateless = is_stateless(&Method::POST, &uri, &headers, &payload);
        (!is_stateful(&uri, &headers, &payload), stateless)
    }

    const TWICE: (bool, bool) = (true, true);
    const WHEN_REFUSED: (bool, bool) = (true, false);
    const ONCE: (bool, bool) = (false, false);

    #[test]
    fn inference_is_stateless() {
        for path in [
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/messages",
            "/v1/rerank",
            "/prefix/v1/chat/completions",
            "/together/v1/chat/completions",
            "/models/org/name/v1/chat/completions",
            "/hf-inference/models/org/name/pipeline/feature-extraction",
            "/generate_stream",
            "/embed",
            "/",
        ] {
            assert_eq!(post(path, r#"{"model": "m"}"#), TWICE, "{path}");
        }
    }

    #[test]
    fn other_routes_are_not() {
        for path in ["/v1/fine_tuning/jobs", "/v1/threads/t/messages", "/v1/containers", "/x"] {
            assert_eq!(post(path, "{}"), WHEN_REFUSED, "{path}");
        }
        for path in [
            "/v1/files",
            "/v1/batches",
            "/v1/messages/batches",
            "/v1/files/f/content",
            "/v1/%66iles",
            "/v1/../v1/files",
        ] {
            assert_eq!(post(path, "{}"), ONCE, "{path}");
        }
    }

    #[test]
    fn members_can_make_it_stateful() {
        let chat = |body| post("/v1/chat/completions", body);
        for body in [
            r#"{"store": true}"#,
            r#"{"Store": true}"#,
            r#"{"store": "yes"}"#,
            r#"{"background": true}"#,
            r#"{"conversation": "c"}"#,
            r#"{"container": "c"}"#,
            r#"{"mcp_servers": []}"#,
            // Refused by strict readers; others take the last.
            r#"{"store": false, "store": true}"#,
            "[",
        ] {
            assert_eq!(chat(body), ONCE, "{body}");
        }
        for body in [
            r#"{"store": false, "background": null}"#,
            r#"{"tools": []}"#,
            r#"{"tools": [{"type": "function"}, {"name": "Anthropic's"}, {"type": "custom"}]}"#,
        ] {
            assert_eq!(chat(body), TWICE, "{body}");
        }
        assert_eq!(chat(r#"{"tools": [{"type": "function"}, {"type": "mcp"}]}"#), WHEN_REFUSED);
        assert_eq!(chat(""), WHEN_REFUSED);
    }

    #[test]
    fn responses_are_stored_unless_the_request_says_otherwise() {
        let responses = |body| post("/v1/responses", body);
        assert_eq!(responses("{}"), ONCE);
        assert_eq!(responses(r#"{"store": null}"#), ONCE);
        assert_eq!(responses(r#"{"store": false}"#), TWICE);
        assert_eq!(responses(r#"{"store": false, "background": true}"#), ONCE);
    }

    #[test]
    fn safe_methods_may_be_repeated_on_other_routes_too() {
        let headers = HeaderMap::new();
        let stateless = |method: Method, path: &str| {
            is_stateless(&method, &Uri::try_from(path).unwrap(), &headers, &Payload::default())
        };
        assert!(stateless(Method::GET, "/v1/models"));
        assert!(stateless(Method::HEAD, "/.well-known/jwks.json"));
        assert!(!stateless(Method::GET, "/v1/files/f"));
        for method in [Method::DELETE, Method::PUT, Method::PATCH, Method::OPTIONS] {
            assert!(!stateless(method, "/v1/models"));
        }
    }

    #[test]
    fn bodies_that_are_not_json_are_repeated_only_when_they_were_refused() {
        let uri = Uri::from_static("/v1/audio/transcriptions");
        let headers = HeaderMap::from_iter([(
            CONTENT_TYPE,
            "multipart/form-data; boundary=x".parse().unwrap(),
        )]);
        let payload = Payload::buffered("--x--");
        assert!(!is_stateful(&uri, &headers, &payload));
        assert!(!is_stateless(&Method::POST, &uri, &headers, &payload));
    }
}
