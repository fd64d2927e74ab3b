//! The id, the model and the finish reasons of a response.
//!
//! The tap does not keep them, because most requests have no use for them. They are read from the start and
//! the end of the body once it has passed: servers write `id` and `model` first and the reason last.

/// Bytes that are kept of each end.
const KEPT: usize = 2_048;
/// Bytes of the longest id and of the longest name of a model.
const LONGEST: usize = 128;

/// The words of OpenAI, Anthropic, TGI, Cohere, Gemini, Ollama and vLLM.
const REASONS: &[&str] = &[
    "stop",
    "length",
    "tool_calls",
    "function_call",
    "content_filter",
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "eos_token",
    "COMPLETE",
    "MAX_TOKENS",
    "STOP_SEQUENCE",
    "TOOL_CALL",
    "STOP",
    "SAFETY",
    "abort",
    "error",
];
const OTHER_REASON: &str = "_OTHER";

/// What the first and the last bytes of a response body tell.
#[derive(Default)]
pub(crate) struct ResponseFacts {
    start: Vec<u8>,
    // At most twice as many bytes as are kept.
    end: Vec<u8>,
    id: Option<Box<str>>,
    model: Option<Box<str>>,
    finish_reasons: Vec<&'static str>,
}

impl ResponseFacts {
    pub(crate) fn data(&mut self, data: &[u8]) {
        let room = KEPT - self.start.len();
        self.start.extend_from_slice(data.get(..room).unwrap_or(data));
        self.end.extend_from_slice(last(data));
        if self.end.len() > 2 * KEPT {
            let old = self.end.len() - KEPT;
            self.end.drain(..old);
        }
    }

    /// Reads the facts.
    pub(crate) fn finish(&mut self) {
        for document in documents(&self.start) {
            read_names(document, &mut self.id, &mut self.model);
            if self.id.is_some() && self.model.is_some() {
                break;
            }
        }
        self.finish_reasons = finish_reasons(last(&self.end));
        // The rest may be a prompt or a completion.
        (self.start, self.end) = (Vec::new(), Vec::new());
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    pub(super) fn finish_reasons(&self) -> impl Iterator<Item = &'static str> {
        self.finish_reasons.iter().copied()
    }
}

fn last(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default()
}

/// Returns the documents of a body: itself, or the data of each event.
fn documents(start: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Also several documents, one on each line.
    let is_json = start.trim_ascii_start().starts_with(b"{");
    let lines = start.split(move |byte| *byte == b'\n' && !is_json);
    lines.filter_map(move |line| if is_json { Some(line) } else { line.strip_prefix(b"data:") })
}

/// Reads `id` and `model` from the root of a document, or from its `message` or `response` (Anthropic;
/// OpenAI's responses). Those further in are of tools or of the completion.
fn read_names(document: &[u8], id: &mut Option<Box<str>>, model: &mut Option<Box<str>>) {
    let (mut rest, mut depth, mut is_part, mut next_is_part) = (document, 0_u32, false, false);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    is_part = *byte == b'{' && next_is_part;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some((name, after)) = string(rest) else { return };
                rest = after;
                let Some(value) = after.trim_ascii_start().strip_prefix(b":") else { continue };
                let value = value.trim_ascii_start();
                next_is_part = depth == 1 && matches!(name, b"message" | b"response");
                let place = match name {
                    b"id" | b"responseId" => &mut *id,
                    b"model" | b"modelVersion" => &mut *model,
                    _ => continue,
                };
                if depth == 1 || depth == 2 && is_part {
                    let text = value.strip_prefix(b"\"").and_then(string);
                    let text = text.and_then(|(text, _)| legal(text));
                    *place = place.take().or_else(|| text.map(Into::into));
                }
            }
            _ => {}
        }
    }
}

/// Returns the bytes of a string up to its quote, and what follows.
fn string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    let (text, after) = rest.split_at_checked(end)?;
    Some((text, after.get(1..)?))
}

fn legal(text: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'\\';
    let fits = (1..=LONGEST).contains(&text.len()) && text.iter().all(is_plain);
    if fits { str::from_utf8(text).ok() } else { None }
}

/// Reads the finish reasons from the end of a body, which may begin anywhere.
///
/// Inside of a string the quotes of a name have backslashes, so a text of the model has no such name. An
/// argument of a tool may have one, and so the known words alone are returned.
fn finish_reasons(end: &[u8]) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    for name in ["\"finish_reason\"", "\"finishReason\"", "\"stop_reason\"", "\"done_reason\""] {
        let mut rest = end;
        while let Some(place) = rest.windows(name.len()).position(|part| part == name.as_bytes()) {
            rest = rest.get(place + name.len()..).unwrap_or_default();
            let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
            let value = value.and_then(|value| value.strip_prefix(b"\"")).and_then(string);
            let Some((word, _)) = value.filter(|(word, _)| !word.is_empty()) else { continue };
            let known = REASONS.iter().find(|known| known.as_bytes() == word);
            // `stop_reason` of vLLM is the stop string.
            let other = (name != "\"stop_reason\"").then_some(&OTHER_REASON);
            if let Some(reason) = known.or(other)
                && !reasons.contains(reason)
            {
                reasons.push(*reason);
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> (Option<String>, Option<String>, Vec<&'static str>) {
        let mut facts = ResponseFacts::default();
        pieces.iter().for_each(|piece| facts.data(piece.as_bytes()));
        facts.finish();
        let own = |text: Option<&str>| text.map(str::to_owned);
        (own(facts.id()), own(facts.model()), facts.finish_reasons().collect())
    }

    fn is(
        facts: (Option<String>, Option<String>, Vec<&'static str>),
        id: &str,
        model: &str,
        reasons: &[&str],
    ) {
        assert_eq!((facts.0.as_deref(), facts.1.as_deref()), (Some(id), Some(model)));
        assert_eq!(facts.2, reasons);
    }

    #[test]
    fn documents_of_known_servers_are_read() {
        is(
            read(&[
                r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"message":{"content":"\"finish_reason\":\"x\"","id":"no"},"finish_reason":"tool_calls"},{"finish_reason":"stop"}]}"#,
            ]),
            "chatcmpl-1",
            "m",
            &["tool_calls", "stop"],
        );
        // Pretty, and sorted by name.
        is(
            read(&[
                "{\n  \"choices\": [{\"finish_reason\": \"length\", \"message\": {\"tool_calls\": [{\"id\": \"call_1\"}]}}],\n  \"id\": \"c\", \"model\": \"m\"\n}",
            ]),
            "c",
            "m",
            &["length"],
        );
        is(
            read(&[
                r#"{"id":"msg_1","type":"message","model":"claude","content":[{"type":"tool_use","id":"toolu_1","input":{"model":"no","finish_reason":"my secret"}}],"stop_reason":"tool_use"}"#,
            ]),
            "msg_1",
            "claude",
            &["_OTHER", "tool_use"],
        );
    }

    #[test]
    fn streams_of_known_servers_are_read() {
        let long = "x".repeat(3 * KEPT);
        is(
            read(&[
                ": a comment\n\ndata: {\"id\":\"c\",\"mod",
                "el\":\"m\",\"choices\":[{\"finish_reason\":null}]}\n\n",
                &long,
                "\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\",\"stop_reason\":\"a stop string\"}]}\n\ndata: [DONE]\n\n",
            ]),
            "c",
            "m",
            &["stop"],
        );
        is(
            read(&[
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg\",\"model\":\"claude\"}}\n\n",
                "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
            ]),
            "msg",
            "claude",
            &["end_turn"],
        );
    }

    #[test]
    fn anything_else_has_no_facts() {
        for body in [
            "",
            "{",
            "\"",
            "[[[",
            "data:",
            "{\"id\":\"a b\",\"model\":7}",
            "{\"id\":\"\\\"\"}",
            "\u{0}{\"id\":",
        ] {
            assert_eq!(read(&[body]), (None, None, Vec::new()), "{body}");
        }
        let deep = format!("{{\"id\":\"{}\"}}", "i".repeat(129));
        assert_eq!(read(&[&deep]).0, None);
    }
}
