use memchr::{memchr_iter, memchr2, memrchr};

use super::nesting::Nesting;
use crate::{
    tap::document::{code_unit, names_error, unescaped},
    text_tokens::TextTokens,
};

/// The results of a quick scan of an event.
///
/// Most events of a stream are deltas. The scan costs one search for colons, and only events that
/// may hold more are parsed. A quote inside a string is escaped, so any other quote before a colon ends
/// the name of a member.
#[derive(Default)]
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

impl QuickScan {
    /// Scans a document. Adds its generated text to `generated`.
    pub(super) fn of(document: &[u8], generated: &mut TextTokens) -> Self {
        let mut scan = Self::default();
        // Whether the member is inside an array of choices or a delta. An event of OpenAI's responses that
        // repeats earlier text has neither.
        let mut in_delta = false;
        let mut in_choices = false;
        let mut nesting = Nesting::default();
        // Members of the root: one that only known events have, and the two of llama.cpp.
        let (mut known_member, mut content, mut stop) = (false, false, false);
        let mut typed = false;
        // The previous text, and whether it was reasoning.
        let mut previous = (&[][..], false);
        for at in memchr_iter(b':', document) {
            let (name, value) = document.split_at_checked(at).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default().trim_ascii_start();
            let name = name.trim_ascii_end();
            let quoted = name.strip_suffix(b"\"").filter(|quoted| !quoted.ends_with(b"\\"));
            let (mut member, mut in_root) = (&[][..], false);
            if let Some((quoted, start)) =
                quoted.and_then(|quoted| Some((quoted, memrchr(b'"', quoted)?)))
            {
                member = quoted.get(start.saturating_add(1)..).unwrap_or_default();
                in_root = nesting.pass(document, start, at) == 1;
            }
            if value.starts_with(b"null") {
                let finish_reason = member == b"finish_reason";
                scan.unfinished |= finish_reason || member == b"stop_reason";
                scan.open_choice |= finish_reason && in_choices;
                continue;
            }
            let (mut text, mut reasoning) = (false, false);
            match member {
                b"content" | b"text" | b"reasoning_content" => {
                    let filled = matches!(value, [b'"', after, ..] if *after != b'"');
                    scan.root_text |= in_root && !in_delta && filled;
                    content |= in_root && member == b"content";
                    reasoning = member == b"reasoning_content";
                    text = true;
                }
                b"reasoning" | b"thinking" => (text, reasoning) = (true, true),
                b"refusal" | b"arguments" | b"partial_json" | b"name" => text = true,
                b"delta" => {
                    in_delta = true;
                    known_member |= in_root;
                    scan.known_form = true;
                    // A string in OpenAI's responses.
                    text = true;
                }
                b"choices" | b"candidates" => {
                    (in_delta, in_choices, scan.known_form) = (true, true, true);
                    known_member |= in_root;
                }
                b"token" => {
                    if value.starts_with(b"{") {
                        (scan.token_event, in_delta, scan.known_form) = (true, true, true);
                        known_member |= in_root;
                    }
                }
                b"type" => {
                    typed |= in_root;
                    scan.known_form = true;
                }
                b"usage" | b"error" => (scan.needs_full_scan, scan.known_form) = (true, true),
                b"stop" => {
                    stop |= in_root;
                    scan.needs_full_scan |= value.starts_with(b"true");
                }
                // The place of a choice beyond the first is read exactly.
                b"index" => scan.needs_full_scan |= in_choices && !value.starts_with(b"0"),
                b"special" => scan.special_token |= value.starts_with(b"true"),
                b"message" => scan.needs_full_scan |= value.starts_with(b"\""),
                b"code" | b"state" | b"status" => scan.needs_full_scan |= in_root,
                b"stop_type" | b"details" | b"timings" | b"success" | b"usageMetadata"
                | b"base_resp" | b"meta_info" | b"generated_text" | b"detail" | b"msg" => {
                    scan.needs_full_scan = true;
                }
                _ => {
                    let ends = |end: &[u8]| member.ends_with(end);
                    scan.needs_full_scan |= ends(b"_reason")
                        || ends(b"Reason")
                        || in_root && (ends(b"_code") || ends(b"Code"))
                        || names_error(member);
                }
            }
            if text && in_delta {
                let without_text = *generated;
                let text = read_text(value, generated);
                // Servers repeat reasoning under its older name (vLLM's `reasoning_content`) or in parts
                // (OpenRouter's `reasoning_details`).
                if (reasoning || previous.1) && text == previous.0 {
                    *generated = without_text;
                }
                previous = (text, reasoning || previous.1);
            }
            // The value may be the `type` of an event.
            scan.needs_full_scan |= match value {
                [b'"', b'e', ..] => value.starts_with(b"\"error\""),
                [b'"', b'f', ..] => value.starts_with(b"\"failed\""),
                [b'"', b'm' | b's', ..] => {
                    [&b"\"message_stop\""[..], b"\"message-end\"", b"\"stream-end\""]
                        .iter()
                        .any(|end| value.starts_with(end))
                }
                [b'"', b'r', ..] => {
                    [&b"completed\""[..], b"failed\"", b"incomplete\"", b"cancelled\""].iter().any(
                        |end| {
                            let word = value.strip_prefix(b"\"response.");
                            word.is_some_and(|word| word.starts_with(end))
                        },
                    )
                }
                _ => false,
            };
        }
        // Names and words may be written in escapes.
        scan.needs_full_scan |= memchr_iter(b'\\', document)
            .any(|at| document.get(at..).unwrap_or_default().starts_with(b"\\u00"));
        // Events of OpenAI's responses may repeat their text.
        scan.root_text &= !typed;
        let braces = matches!(document.trim_ascii(), [b'{', .., b'}']);
        let known = known_member || content && stop;
        scan.is_ordinary = known && braces && !scan.needs_full_scan && nesting.matches(document);
        scan
    }
}

/// Counts the string at the start of `value` without its escapes. Returns the string as written.
///
/// A string without its closing quote counts as far as it goes. Any other value counts nothing.
fn read_text<'a>(value: &'a [u8], generated: &mut TextTokens) -> &'a [u8] {
    let Some(string) = value.strip_prefix(b"\"") else { return &[] };
    let mut rest = string;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        generated.feed(rest.get(..at).unwrap_or_default());
        let Some([b'\\', escaped, digits @ ..]) = rest.get(at..) else {
            let read = string.len().saturating_sub(rest.len()).saturating_add(at);
            return string.get(..read).unwrap_or_default();
        };
        rest = digits;
        if *escaped == b'u' {
            generated.feed_unit(code_unit(digits));
            rest = digits.get(4..).unwrap_or_default();
        } else {
            generated.feed(&[unescaped(*escaped)]);
        }
    }
    generated.feed(rest);
    string
}
