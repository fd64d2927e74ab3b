use super::{
    choices::choices,
    result_end::ResultEnd,
    value::{all, has, is_number, is_text},
};
use crate::payload::{Kind, Node};

/// Returns the end of a completion: choices, or the text of llama.cpp's own routes.
pub(super) fn completion(root: Node<'_>) -> Option<ResultEnd> {
    choices(root).or_else(|| each(root, llama_cpp))
}

/// Returns the end of generated text: of TGI, SGLang, vLLM's demo server, Ollama, Cohere and Triton.
pub(super) fn generated(root: Node<'_>) -> Option<ResultEnd> {
    each(root, text)
}

/// Returns the end of one generated text.
pub(super) fn text(one: Node<'_>) -> Option<ResultEnd> {
    let told = |holder: &str| {
        let reason = one.get(holder).and_then(|holder| holder.get("finish_reason"));
        reason.is_some_and(|reason| is_text(reason) || has(reason, "type", is_text))
    };
    if let Some(text) = one.get("generated_text") {
        let ended = told("details");
        // The text may be empty only if the model ended it.
        let holds = is_text(text) || ended && text.kind() == Kind::String;
        return holds.then_some(ResultEnd::stated_if(ended));
    }
    let is_string = |text: Node<'_>| text.kind() == Kind::String;
    if told("meta_info") {
        let holds =
            has(one, "text", is_string) || has(one, "output_ids", |ids| all(ids, is_number));
        return holds.then_some(ResultEnd::Stated);
    }
    if has(one, "done", |done| done.as_bool() == Some(true)) {
        return has(one, "response", is_string).then_some(ResultEnd::Stated);
    }
    if let Some(generations) = one.get("generations") {
        return ResultEnd::of_all(generations.elements().map(|generation| {
            let ended = has(generation, "finish_reason", is_text);
            has(generation, "text", is_text).then_some(ResultEnd::stated_if(ended))
        }));
    }
    let texts = has(one, "text", |texts| all(texts, is_text)) || has(one, "text_output", is_text);
    if texts { Some(ResultEnd::Unstated) } else { choices(one) }
}

/// Returns the end of a text of llama.cpp's own routes. The scanner reads its `stop_type`.
fn llama_cpp(one: Node<'_>) -> Option<ResultEnd> {
    let ended = has(one, "stop", |stop| stop.as_bool() == Some(true));
    let holds = has(one, "content", |text| text.kind() == Kind::String);
    (ended && holds).then_some(ResultEnd::Stated)
}

/// Returns the end of one result or of an array of results.
fn each(root: Node<'_>, proof: fn(Node<'_>) -> Option<ResultEnd>) -> Option<ResultEnd> {
    match root.kind() {
        Kind::Array => ResultEnd::of_all(root.elements().map(proof)),
        _ => proof(root),
    }
}
