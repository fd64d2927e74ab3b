use crate::payload::{Kind, Node};

/// Returns whether the server keeps state for a request or looks something up for it.
///
/// A repeated request then has another response, or an effect of its own.
pub(crate) fn is_stateful(root: Node<'_>) -> bool {
    // One pass: bodies have few members, and each look-up would scan them.
    root.members().any(|(name, member)| match &*name {
        "tools" => member.kind() == Kind::Array && member.elements().any(is_hosted),
        name => MEMBERS.contains(&name) && is_on(member),
    })
}

/// The members that bring state or a search into a request.
const MEMBERS: [&str; 14] = [
    // OpenAI's responses (platform.openai.com/docs/api-reference/responses/create). A stored response
    // is an effect when a chat asks for it; a response is stored by default and may be served again.
    "background",
    "conversation",
    "store",
    // Anthropic (docs.anthropic.com, "Code execution tool" and "MCP connector").
    "container",
    "mcp_servers",
    // Searches: OpenAI's chat, xAI, Qwen, Perplexity, OpenRouter, Azure, Cohere, Mistral.
    "web_search_options",
    "search_parameters",
    "enable_search",
    "search_recency_filter",
    "plugins",
    "data_sources",
    "connectors",
    "agent_id",
    "thread_id",
];

fn is_on(member: Node<'_>) -> bool {
    !member.is_null() && member.as_bool() != Some(false)
}

/// Returns whether the server runs a tool. The client runs functions and Anthropic's tools for its own
/// machine.
fn is_hosted(tool: Node<'_>) -> bool {
    const OF_THE_CLIENT: [&str; 5] = ["function", "custom", "local_shell", "apply_patch", ""];
    const STARTS: [&str; 4] = ["bash_", "computer", "memory_", "text_editor_"];
    tool.get("type").and_then(Node::as_str).is_some_and(|kind| {
        !OF_THE_CLIENT.contains(&&*kind) && !STARTS.iter().any(|start| kind.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Document;

    fn of(body: &str) -> bool {
        is_stateful(Document::parse(body.to_owned()).unwrap().root())
    }

    #[test]
    fn requests_with_state_of_the_server_are_stateful() {
        for name in MEMBERS {
            assert!(of(&format!(r#"{{"{name}":true}}"#)), "{name}");
            assert!(of(&format!(r#"{{"{name}":{{"id":"x"}}}}"#)), "{name}");
            assert!(!of(&format!(r#"{{"{name}":false}}"#)), "{name}");
            assert!(!of(&format!(r#"{{"{name}":null}}"#)), "{name}");
        }
        for kind in [
            "code_execution_20250825",
            "code_interpreter",
            "file_search",
            "image_generation",
            "mcp",
            "mcp_toolset",
            "web_fetch_20250910",
            "web_search",
            "web_search_20250305",
        ] {
            assert!(of(&format!(r#"{{"tools":[{{"type":"{kind}"}}]}}"#)), "{kind}");
        }
    }

    #[test]
    fn tools_of_the_client_are_not_stateful() {
        for kind in [
            "function",
            "custom",
            "bash_20250124",
            "text_editor_20250728",
            "computer_use_preview",
            "memory_20250818",
            "local_shell",
        ] {
            assert!(!of(&format!(r#"{{"tools":[{{"type":"{kind}","name":"f"}}]}}"#)), "{kind}");
        }
        assert!(!of(r#"{"tools":[{"name":"f"}],"previous_response_id":"r"}"#));
        assert!(!of("[]"));
    }
}
