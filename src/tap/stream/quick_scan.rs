use memchr::memchr;

use super::{
    common_form::CommonForm,
    members::{Member, Members},
};
use crate::{
    tap::document::{EventType, code_unit, names_error, unescaped},
    text_tokens::TextTokens,
};

/// The results of a quick scan of an event.
///
/// Most events of a stream are deltas. The scan reads their strings once, and only events that may
/// hold more are parsed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct QuickScan {
    /// The document is a whole event of a known form and holds no facts besides generated text.
    pub(super) is_ordinary: bool,
    // The document may hold other facts.
    needs_full_scan: bool,
    /// The document has the form of a known event.
    pub(super) known_form: bool,
    /// The document is an event of TGI with one token.
    pub(super) token_event: bool,
    /// The token belongs to a chat template.
    pub(super) special_token: bool,
    /// A choice has no finish reason yet.
    pub(super) unfinished: bool,
    /// The choice without a finish reason is in an array of choices.
    pub(super) open_choice: bool,
    /// The document has text of a completion outside of choices.
    pub(super) root_text: bool,
}

/// The state of a scan between two members.
#[derive(Clone, Copy, Default)]
pub(super) struct ScanPosition {
    scan: QuickScan,
    depth: i32,
    // Whether the member is inside an array of choices or a delta. An event of OpenAI's responses that
    // repeats earlier text has neither.
    in_delta: bool,
    in_choices: bool,
    // Members of the root: one that only known events have, and the two of llama.cpp.
    known_member: bool,
    content: bool,
    stop: bool,
    typed: bool,
    // A member before was reasoning.
    reasoning: bool,
}

impl QuickScan {
    /// Scans a document without white space around it. Adds its generated text to `generated`.
    ///
    /// The scan skips the parts that `form` remembers from an earlier event.
    pub(super) fn of(
        document: &[u8],
        form: &mut CommonForm<ScanPosition, Self>,
        generated: &mut TextTokens,
    ) -> Self {
        if let Some((text, scan)) = form.text(document)
            && !may_be_telling_type(text)
        {
            generated.feed(text);
            return scan;
        }
        let resumed = form.resume(document);
        let (rest, mut at) = resumed.unwrap_or_else(|| (document, ScanPosition::default()));
        let mut members = Members::at(rest, at.depth);
        // The place before the first text with the state there, and the place of the text itself
        // unless it has escapes.
        let mut first_text = None;
        // The texts that were counted.
        let mut counted = 0_u32;
        // The previous text.
        let mut previous = &[][..];
        while let Some(Member { name: member, value, text: string, plain, in_root, left }) =
            members.next()
        {
            if value.starts_with(b"null") {
                let finish_reason = matches!(member, b"finish_reason" | b"finishReason");
                at.scan.unfinished |= finish_reason
                    || matches!(member, b"stop_reason" | b"stopReason" | b"done_reason");
                at.scan.open_choice |= finish_reason && at.in_choices;
                continue;
            }
            let (mut text, mut reasoning) = (false, false);
            match member {
                b"content" | b"text" | b"reasoning_content" => {
                    let filled = string.is_some_and(|string| !string.is_empty());
                    at.scan.root_text |= in_root && !at.in_delta && filled;
                    at.content |= in_root && member == b"content";
                    reasoning = member == b"reasoning_content";
                    text = true;
                }
                b"reasoning" | b"thinking" => (text, reasoning) = (true, true),
                b"refusal" | b"arguments" | b"partial_json" | b"name" => text = true,
                b"delta" => {
                    at.in_delta = true;
                    at.known_member |= in_root;
                    at.scan.known_form = true;
                    // A string in OpenAI's responses.
                    text = true;
                }
                b"choices" | b"candidates" => {
                    (at.in_delta, at.in_choices, at.scan.known_form) = (true, true, true);
                    at.known_member |= in_root;
                }
                b"token" => {
                    if value.starts_with(b"{") {
                        (at.scan.token_event, at.in_delta, at.scan.known_form) = (true, true, true);
                        at.known_member |= in_root;
                    }
                }
                b"type" => {
                    at.typed |= in_root;
                    at.scan.known_form = true;
                    at.scan.needs_full_scan |= in_root && string.is_some_and(ends_stream);
                }
                b"event_type" => {
                    at.scan.needs_full_scan |= in_root && string.is_some_and(ends_stream);
                }
                b"usage" | b"error" => (at.scan.needs_full_scan, at.scan.known_form) = (true, true),
                b"stop" => {
                    at.stop |= in_root;
                    at.scan.needs_full_scan |= value.starts_with(b"true");
                }
                // The place of a choice beyond the first is read exactly.
                b"index" => at.scan.needs_full_scan |= at.in_choices && !value.starts_with(b"0"),
                b"special" => at.scan.special_token |= value.starts_with(b"true"),
                b"message" => at.scan.needs_full_scan |= string.is_some(),
                b"code" | b"state" | b"status" | b"ok" | b"eval_count" | b"prompt_eval_count"
                | b"tokens_predicted" | b"tokens_evaluated" => {
                    at.scan.needs_full_scan |= in_root;
                }
                b"stop_type" | b"details" | b"timings" | b"success" | b"usageMetadata"
                | b"base_resp" | b"meta_info" | b"generated_text" | b"detail" | b"msg" => {
                    at.scan.needs_full_scan = true;
                }
                b"id" | b"object" | b"created" | b"model" | b"role" => {}
                _ => {
                    let ends = |end: &[u8]| member.ends_with(end);
                    at.scan.needs_full_scan |= ends(b"_reason")
                        || ends(b"Reason")
                        || in_root && (ends(b"_code") || ends(b"Code"))
                        || names_error(member);
                }
            }
            if text && at.in_delta {
                let first = counted == 0 && string.is_some();
                counted = counted.saturating_add(string.is_some().into());
                // A remembered start has no text, which would not be counted again. No such member
                // changes the state before its text is counted.
                if first && !in_root && member != b"delta" {
                    let before = ScanPosition { depth: members.depth(), ..at };
                    // The text follows the quote.
                    let from = document.len().saturating_sub(value.len()).saturating_add(1);
                    let to = from.saturating_add(string.unwrap_or_default().len());
                    let start = (document.len().saturating_sub(left), before);
                    first_text = Some((start, plain.then_some(from..to)));
                }
                let text = string.unwrap_or_default();
                // Servers repeat reasoning under its older name (vLLM's `reasoning_content`) or in parts
                // (OpenRouter's `reasoning_details`).
                if !((reasoning || at.reasoning) && text == previous) {
                    match string {
                        Some(text) if plain => generated.feed(text),
                        Some(text) => count_text(text, generated),
                        None => {}
                    }
                }
                previous = text;
                at.reasoning |= reasoning;
            }
            at.scan.needs_full_scan |= string.is_some_and(may_be_telling_type);
        }
        // Names and words may be written in escapes.
        at.scan.needs_full_scan |= members.hides_ascii();
        // Events of OpenAI's responses may repeat their text.
        at.scan.root_text &= !at.typed;
        let braces = matches!(document, [b'{', .., b'}']);
        let known = at.known_member || at.content && at.stop;
        at.scan.is_ordinary =
            known && braces && !at.scan.needs_full_scan && members.match_brackets();
        if at.scan.is_ordinary
            && let Some((start, text)) = first_text
        {
            let only_text = text.filter(|_| counted == 1);
            if resumed.is_none() || only_text.is_some() {
                form.remember(document, start, only_text, at.scan);
            }
        }
        at.scan
    }
}

/// Returns whether a value may be the `type` of an event that tells more than its text.
fn may_be_telling_type(string: &[u8]) -> bool {
    matches!(
        string,
        b"error"
            | b"failed"
            | b"message_stop"
            | b"message-end"
            | b"stream-end"
            | b"response.completed"
            | b"response.failed"
            | b"response.incomplete"
            | b"response.cancelled"
    )
}

/// Returns whether an event of this type may end its stream.
#[inline(never)]
fn ends_stream(event_type: &[u8]) -> bool {
    !matches!(EventType::of(event_type), EventType::Other | EventType::Known | EventType::Ping)
}

/// Counts a string without its escapes.
#[inline(never)]
fn count_text(string: &[u8], generated: &mut TextTokens) {
    let mut rest = string;
    while let Some(at) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        generated.feed(plain);
        rest = match escape {
            [b'\\', b'u', digits @ ..] => {
                generated.feed_unit(code_unit(digits));
                digits.get(4..).unwrap_or_default()
            }
            [b'\\', escaped, tail @ ..] => {
                generated.feed(&[unescaped(*escaped)]);
                tail
            }
            _ => return,
        };
    }
    generated.feed(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTS: [&str; 10] = [
        r#"{"id":"a","created":17,"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","reasoning":"a","reasoning_content":"a"}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"reasoning":{},"reasoning_content":"","content":"x\n\u0041"}}]}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
        r#"{"index":1,"token":{"id":1,"text":" a","special":false},"details":null}"#,
        r#"{"index":0,"content":"word","stop":false}"#,
        r#"{"choices":[{"logprobs":["x"],"text":"a, b: \"{","index":0}],"error":null}"#,
        // Text before the first place that may be remembered.
        r#"{"delta":"some words of text","item":{"name":"a"}}"#,
        r#"{"choices":[{"delta":{}}],"content":"some words of text","parts":[{"text":"a"}]}"#,
        r#"{"choices":[{"delta":"some words","text":"some words"}]}"#,
    ];

    type Form = CommonForm<ScanPosition, QuickScan>;

    fn scan(document: &[u8], form: &mut Form) -> (QuickScan, (u64, u64)) {
        let mut text = TextTokens::default();
        (QuickScan::of(document, form, &mut text), text.cost())
    }

    #[test]
    fn remembered_form_changes_no_scan() {
        let (mut resumed, mut of_form) = (0, 0);
        for earlier in DOCUMENTS {
            let mut form = Form::new();
            scan(earlier.as_bytes(), &mut form);
            for document in DOCUMENTS {
                for at in 0..document.len() {
                    for other in *b"\"\\{}[]:, nt0" {
                        let mut changed = document.as_bytes().to_vec();
                        changed[at] = other;
                        for document in [&changed[..], &changed[..at]] {
                            resumed += usize::from(form.resume(document).is_some());
                            of_form += usize::from(form.text(document).is_some());
                            let expected = scan(document, &mut Form::new());
                            let read = scan(document, &mut form.clone());
                            assert_eq!(read, expected, "{}", String::from_utf8_lossy(document));
                        }
                    }
                }
            }
        }
        assert!(resumed > 1000 && of_form > 100, "{resumed} {of_form}");
    }

    #[test]
    fn text_in_a_remembered_form_is_scanned_as_any_other() {
        let texts = ["", "a", r"\u0065rror", r"a\n", "é", "a b, c", "error", "message_stop"];
        for document in DOCUMENTS {
            for (earlier, text) in texts.iter().flat_map(|one| texts.map(|other| (*one, other))) {
                let with = |text: &str| document.replace("word", text).replace("hi", text);
                let mut form = Form::new();
                scan(with(earlier).as_bytes(), &mut form);
                let expected = scan(with(text).as_bytes(), &mut Form::new());
                assert_eq!(scan(with(text).as_bytes(), &mut form), expected, "{earlier}, {text}");
            }
        }
    }

    #[test]
    fn form_too_long_to_be_remembered_is_scanned_in_full() {
        for spaces in 0..300 {
            let spaces = " ".repeat(spaces);
            let document = |text: &str| {
                format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}],{spaces}"a":1}}"#)
            };
            let mut form = Form::new();
            scan(document("some words").as_bytes(), &mut form);
            for text in ["other words", r"a\"] {
                let expected = scan(document(text).as_bytes(), &mut Form::new());
                assert_eq!(scan(document(text).as_bytes(), &mut form), expected);
            }
        }
    }
}
