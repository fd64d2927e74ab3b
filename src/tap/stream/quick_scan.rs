use memchr::memchr;

use super::members::{Member, Members};
use crate::{
    tap::document::{code_unit, names_error, unescaped},
    text_tokens::TextTokens,
};

/// The results of a quick scan of an event.
///
/// Most events of a stream are deltas. The scan reads their strings once, and only events that may
/// hold more are parsed.
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
    /// Scans a document without white space around it. Adds its generated text to `generated`.
    pub(super) fn of(document: &[u8], generated: &mut TextTokens) -> Self {
        let mut scan = Self::default();
        // Whether the member is inside an array of choices or a delta. An event of OpenAI's responses that
        // repeats earlier text has neither.
        let mut in_delta = false;
        let mut in_choices = false;
        let mut members = Members::of(document);
        // Members of the root: one that only known events have, and the two of llama.cpp.
        let (mut known_member, mut content, mut stop) = (false, false, false);
        let mut typed = false;
        // The previous text, and whether it was reasoning.
        let mut previous = (&[][..], false);
        for Member { name: member, value, text: string, plain, in_root } in members.by_ref() {
            if value.starts_with(b"null") {
                let finish_reason = member == b"finish_reason";
                scan.unfinished |= finish_reason || member == b"stop_reason";
                scan.open_choice |= finish_reason && in_choices;
                continue;
            }
            let (mut text, mut reasoning) = (false, false);
            match member {
                b"content" | b"text" | b"reasoning_content" => {
                    let filled = string.is_some_and(|string| !string.is_empty());
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
                b"message" => scan.needs_full_scan |= string.is_some(),
                b"code" | b"state" | b"status" => scan.needs_full_scan |= in_root,
                b"stop_type" | b"details" | b"timings" | b"success" | b"usageMetadata"
                | b"base_resp" | b"meta_info" | b"generated_text" | b"detail" | b"msg" => {
                    scan.needs_full_scan = true;
                }
                b"id" | b"object" | b"created" | b"model" | b"role" => {}
                _ => {
                    let ends = |end: &[u8]| member.ends_with(end);
                    scan.needs_full_scan |= ends(b"_reason")
                        || ends(b"Reason")
                        || in_root && (ends(b"_code") || ends(b"Code"))
                        || names_error(member);
                }
            }
            if text && in_delta {
                let text = string.unwrap_or_default();
                // Servers repeat reasoning under its older name (vLLM's `reasoning_content`) or in parts
                // (OpenRouter's `reasoning_details`).
                if !((reasoning || previous.1) && text == previous.0) {
                    match string {
                        Some(text) if plain => generated.feed(text),
                        Some(text) => count_text(text, generated),
                        None => {}
                    }
                }
                previous = (text, reasoning || previous.1);
            }
            // The value may be the `type` of an event.
            scan.needs_full_scan |= string.is_some_and(|string| {
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
            });
        }
        // Names and words may be written in escapes.
        scan.needs_full_scan |= members.hides_ascii();
        // Events of OpenAI's responses may repeat their text.
        scan.root_text &= !typed;
        let braces = matches!(document, [b'{', .., b'}']);
        let known = known_member || content && stop;
        scan.is_ordinary = known && braces && !scan.needs_full_scan && members.match_brackets();
        scan
    }
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
