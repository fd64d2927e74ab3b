use super::{
    result_end::ResultEnd,
    value::{has, is_filled, is_text},
};
use crate::payload::{Kind, Node};

/// Returns the end of the choices of a chat or a completion. All or none tell their ends.
pub(super) fn choices(root: Node<'_>) -> Option<ResultEnd> {
    let choices = root.get("choices").filter(|choices| choices.kind() == Kind::Array)?;
    let first = choice(choices.elements().next()?)?;
    choices.elements().all(|other| choice(other) == Some(first)).then_some(first)
}

/// Returns the end of the candidates of Gemini.
pub(super) fn candidates(root: Node<'_>) -> Option<ResultEnd> {
    ResultEnd::of_all(root.get("candidates")?.elements().map(|candidate| {
        let ended = has(candidate, "finishReason", is_text);
        (ended && has(candidate, "content", is_filled)).then_some(ResultEnd::Stated)
    }))
}

fn choice(choice: Node<'_>) -> Option<ResultEnd> {
    let message = choice.get("message").or_else(|| choice.get("delta"));
    if has_failed(choice) || message.is_some_and(has_failed) {
        return None;
    }
    let text = |holder: Node<'_>| OUTPUT.iter().any(|name| has(holder, name, is_filled));
    // A choice that ended may lack text, but not the place for it.
    let place = message.is_some_and(|message| message.kind() == Kind::Object && is_filled(message))
        || choice.get("text").is_some_and(|text| text.kind() == Kind::String);
    if has(choice, "finish_reason", is_text) {
        (place || text(choice)).then_some(ResultEnd::Stated)
    } else {
        (text(choice) || message.is_some_and(text)).then_some(ResultEnd::Unstated)
    }
}

const OUTPUT: [&str; 10] = [
    "content",
    "text",
    "tool_calls",
    "function_call",
    "refusal",
    "reasoning_content",
    "reasoning",
    "audio",
    "images",
    "token_ids",
];

fn has_failed(holder: Node<'_>) -> bool {
    has(holder, "status", |status| {
        let status = status.as_str().unwrap_or_default();
        !matches!(&*status.to_ascii_lowercase(), "" | "completed" | "finished" | "success" | "ok")
    })
}
