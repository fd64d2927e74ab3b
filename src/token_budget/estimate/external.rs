//! Recognizes input that a body only names, so that the body does not bound the prompt.
//! `tests/token_budget/held.rs` names the page of each API.

use super::media::is_address;
use crate::payload::Node;

/// Returns whether a member of a request names input that the upstream holds or looks up.
pub(super) fn is_external(name: &str, value: Node<'_>) -> bool {
    match name {
        "previous_response_id" | "conversation" | "web_search_options" => true,
        "mcp_servers" => !value.is_empty(),
        // OpenAI's responses can name a stored prompt.
        "prompt" => value.get("id").is_some(),
        _ => false,
    }
}

/// Returns whether the upstream runs a tool and reads its result.
pub(super) fn is_hosted_tool(tool: Node<'_>) -> bool {
    let kind = tool.get("type").and_then(Node::as_str);
    kind.is_some_and(|kind| !matches!(&*kind, "function" | "custom"))
}

/// Returns whether a part has the address of its medium.
pub(super) fn has_address(part: Node<'_>) -> bool {
    [Some(part), part.get("source")].into_iter().flatten().any(|node| {
        let url = node.get("url").or_else(|| node.get("uri")).and_then(Node::as_str);
        url.is_some_and(|url| is_address(&url))
    })
}
