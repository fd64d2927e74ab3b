//! Recognizes input that a body only names, so that the body does not bound the prompt.
//! `tests/token_budget/held.rs` names the page of each API.

use super::media::is_address;
use crate::payload::{Kind, Node};

/// Returns whether the upstream adds to the prompt what this request only names.
pub(super) fn has_external(request: Node<'_>) -> bool {
    let own = |object: Node<'_>| object.members().any(|(name, value)| is_external(&name, value));
    let instances = request.get("instances").map(Node::elements).into_iter().flatten();
    own(request)
        || request.get("extra_body").is_some_and(own)
        || instances.into_iter().any(own)
        || request.get("input").is_some_and(|input| input.elements().any(is_held_item))
}

/// Returns whether a member of a request names input that the upstream holds, looks up or writes.
fn is_external(name: &str, value: Node<'_>) -> bool {
    match name {
        // OpenAI; the two names of Azure's sources.
        "previous_response_id" | "conversation" | "web_search_options" | "data_sources"
        | "dataSources"
        // xAI, OpenRouter, DashScope, Groq.
        | "search_parameters" | "plugins" | "preset" | "enable_search" | "search_options"
        | "search_settings" | "compound_custom"
        // Cohere, Mistral, Anthropic, Gemini, LiteLLM.
        | "connectors" | "conversation_id" | "agent_id" | "mcp_servers" | "container"
        | "cachedContent" | "cached_content" | "vector_store_ids" | "prompt_id"
        // SGLang; vLLM.
        | "session_params" | "multi_modal_uuids"
        // A template of the request may write a prompt of any length.
        | "chat_template" => is_set(value),
        // OpenAI's responses can name a stored prompt.
        "prompt" => value.get("id").is_some(),
        "model" => value.as_str().is_some_and(|model| searches(&model)),
        _ => false,
    }
}

/// Returns whether a member has another value than those that mean that it is missing.
fn is_set(value: Node<'_>) -> bool {
    match value.kind() {
        Kind::Null => false,
        Kind::Bool => value.as_bool() == Some(true),
        Kind::String => value.as_str().is_some_and(|text| !text.is_empty()),
        Kind::Array => !value.is_empty(),
        Kind::Number | Kind::Object => true,
    }
}

/// Returns whether a model reads pages that it finds itself. No member of a request says so: Groq,
/// OpenAI, OpenRouter and Perplexity.
fn searches(model: &str) -> bool {
    let models =
        ["groq/compound", "compound-beta", "-search-preview", "-search-api", "-deep-research"];
    let name = model.rsplit('/').next().unwrap_or_default();
    models.iter().any(|part| model.contains(part))
        || model.ends_with(":online")
        || name.starts_with("sonar")
}

/// Returns whether an item in the `input` of OpenAI's responses has an id and no content, so that the
/// upstream looks it up.
fn is_held_item(item: Node<'_>) -> bool {
    let content =
        ["content", "arguments", "input", "output", "tools", "result", "encrypted_content"];
    let has = |name| item.get(name).is_some_and(|value: Node<'_>| !value.is_null());
    has("id") && !content.into_iter().any(has)
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

/// Returns whether a part names its medium by the key that vLLM caches it under.
pub(super) fn has_cache_key(part: Node<'_>) -> bool {
    part.get("uuid").and_then(Node::as_str).is_some_and(|key| !key.is_empty())
}
