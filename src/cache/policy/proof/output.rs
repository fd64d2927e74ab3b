use super::{
    result_end::ResultEnd,
    value::{all, has, is_filled, is_text},
};
use crate::payload::{Kind, Node};

/// Returns the end of the output of OpenAI's responses. The scanner reads the states of its messages.
pub(super) fn output(root: Node<'_>) -> Option<ResultEnd> {
    fn is_item(item: Node<'_>) -> bool {
        let message = has(item, "type", |kind| kind.as_str().as_deref() == Some("message"));
        has(item, "type", is_text) && (!message || has(item, "content", is_filled))
    }
    let ended = has(root, "status", is_text);
    has(root, "output", |output| all(output, is_item)).then_some(ResultEnd::stated_if(ended))
}

/// Returns the end of a message of Anthropic. A model may end its turn without text.
pub(super) fn message(root: Node<'_>) -> Option<ResultEnd> {
    let message = has(root, "type", |kind| kind.as_str().as_deref() == Some("message"));
    let blocks = has(root, "content", |content| {
        content.kind() == Kind::Array && content.elements().all(|block| has(block, "type", is_text))
    });
    (message && blocks && has(root, "stop_reason", is_text)).then_some(ResultEnd::Stated)
}
