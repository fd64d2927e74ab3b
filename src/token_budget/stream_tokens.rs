//! Counts the tokens of an event stream with the user's tokenizer.

use std::fmt;

use bytes::Bytes;

use super::tokenizer::Tokenizer;
use crate::{
    payload::{Document, Kind, Node},
    sse::{Decoder, Framer},
};

/// The tokens of the deltas so far.
pub(super) struct StreamTokens {
    tokenizer: Tokenizer,
    framer: Framer,
    decoder: Decoder,
    tokens: u64,
}

impl StreamTokens {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, framer: Framer::new(), decoder: Decoder::new(), tokens: 0 }
    }

    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn feed(&mut self, data: Bytes) {
        let Self { tokenizer, framer, decoder, tokens } = self;
        for frame in framer.push(data) {
            let Some(event) = decoder.decode(&frame) else { continue };
            let Ok(document) = Document::parse(event.data().to_vec()) else { continue };
            *tokens = tokens.saturating_add(tokens_of(document.root(), tokenizer));
        }
    }
}

fn tokens_of(event: Node<'_>, tokenizer: &Tokenizer) -> u64 {
    let is_object = |node: &Node<'_>| node.kind() == Kind::Object;
    let count = |node: Option<Node<'_>>| {
        node.and_then(Node::as_str).map_or(0, |text| tokenizer.count(&text))
    };
    // TGI sends one event for each token.
    if let Some(token) = event.get("token").filter(is_object) {
        return count(token.get("text")).max(1);
    }
    let mut tokens = 0_u64;
    let mut add = |node: Option<Node<'_>>| tokens = tokens.saturating_add(count(node));
    // A string in OpenAI's responses, an object in Anthropic's messages.
    add(event.get("delta"));
    if let Some(delta) = event.get("delta") {
        for name in ["text", "partial_json", "thinking"] {
            add(delta.get(name));
        }
    }
    for choice in event.get("choices").map(Node::elements).into_iter().flatten() {
        add(choice.get("text"));
        let Some(delta) = choice.get("delta") else { continue };
        for name in ["content", "reasoning_content", "reasoning", "refusal"] {
            add(delta.get(name));
        }
        let calls = delta.get("tool_calls").map(Node::elements).into_iter().flatten();
        let calls = calls.map(|call| call.get("function"));
        for function in calls.chain([delta.get("function_call")]).flatten() {
            add(function.get("name"));
            add(function.get("arguments"));
        }
    }
    tokens
}

impl fmt::Debug for StreamTokens {
    // Without the text of the response.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTokens").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}
