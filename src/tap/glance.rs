use memchr::{memchr_iter, memchr2};

use super::unescaped;
use crate::text_tokens::TextTokens;

/// What a glance at a document tells.
#[derive(Default)]
pub(super) struct Glance {
    /// There can be something in it that is looked for.
    pub(super) matters: bool,
    /// It has the form of an event that is known.
    pub(super) known: bool,
    /// It is TGI's event of one token.
    pub(super) token: bool,
    /// That token is one of a chat template.
    pub(super) special: bool,
    /// A choice has no finish reason yet.
    pub(super) open: bool,
}

/// Glances at a document: so that deltas, of which a stream mostly consists, cost one search for
/// colons. Quotes inside of strings are escaped, so what looks like a name is one. Generated text is
/// added to `said`.
pub(super) fn glance(document: &[u8], said: &mut TextTokens) -> Glance {
    let mut glance = Glance::default();
    // Inside of an array of choices, or of a delta. An event of OpenAI's responses that repeats the
    // text of earlier ones has neither.
    let mut generated = false;
    // The text before, and whether it was reasoning.
    let mut before = (&[][..], false);
    for at in memchr_iter(b':', document) {
        let (name, value) = document.split_at_checked(at).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let name = name.trim_ascii_end();
        let is = |text: &[u8]| name.ends_with(text);
        if value.starts_with(b"null") {
            glance.open |= is(b"\"finish_reason\"");
            continue;
        }
        let (mut text, mut reasoning) = (false, false);
        match name {
            [.., b'e', b'"'] => {
                let usage = is(b"\"usage\"");
                let explained = is(b"\"message\"") && value.starts_with(b"\"");
                glance.matters |= usage || explained || is(b"\"stop_type\"");
                glance.known |= usage || is(b"\"type\"");
                text = is(b"\"name\"");
            }
            [.., b'n', b'"'] => {
                glance.matters |= is(b"_reason\"") || is(b"Reason\"");
                text = is(b"\"partial_json\"");
                if is(b"\"token\"") && value.starts_with(b"{") {
                    (glance.token, generated, glance.known) = (true, true, true);
                }
            }
            [.., b'r', b'"'] if is(b"\"error\"") => {
                (glance.matters, glance.known) = (true, true);
            }
            [.., b's', b'"'] => {
                let (errors, success) = (is(b"\"errors\""), is(b"\"success\""));
                glance.matters |= is(b"\"details\"") || is(b"\"timings\"") || errors || success;
                let choices = is(b"\"choices\"") || is(b"\"candidates\"");
                generated |= choices;
                glance.known |= choices;
                text = is(b"\"arguments\"");
            }
            [.., b'a', b'"'] => {
                let delta = is(b"\"delta\"");
                generated |= delta;
                glance.known |= delta;
                glance.matters |= is(b"\"usageMetadata\"");
                // A string, of OpenAI's responses.
                text = delta;
            }
            [.., b'p', b'"'] => glance.matters |= is(b"\"stop\"") && value.starts_with(b"true"),
            [.., b'o', b'"'] => glance.matters |= is(b"\"meta_info\""),
            [.., b't', b'"'] => {
                glance.matters |= is(b"\"generated_text\"");
                reasoning = is(b"\"reasoning_content\"");
                text = reasoning || is(b"\"content\"") || is(b"\"text\"");
            }
            [.., b'g' | b'l', b'"'] => {
                glance.matters |= is(b"\"detail\"") || is(b"\"msg\"");
                reasoning = is(b"\"reasoning\"") || is(b"\"thinking\"");
                text = reasoning || is(b"\"refusal\"");
                glance.special |= is(b"\"special\"") && value.starts_with(b"true");
            }
            _ => {}
        }
        if text && generated {
            let without = *said;
            let text = read_text(value, said);
            // Servers repeat it under its older name (vLLM's `reasoning_content`), or in parts
            // (OpenRouter's `reasoning_details`).
            if (reasoning || before.1) && text == before.0 {
                *said = without;
            }
            before = (text, reasoning || before.1);
        }
        // What an event's `type` may be.
        glance.matters |= match value {
            [b'"', b'e', ..] => value.starts_with(b"\"error\""),
            [b'"', b'f', ..] => value.starts_with(b"\"failed\""),
            [b'"', b'm' | b's', ..] => {
                [&b"\"message_stop\""[..], b"\"message-end\"", b"\"stream-end\""]
                    .iter()
                    .any(|end| value.starts_with(end))
            }
            [b'"', b'r', ..] => [&b"completed\""[..], b"failed\"", b"incomplete\"", b"cancelled\""]
                .iter()
                .any(|end| {
                    let word = value.strip_prefix(b"\"response.");
                    word.is_some_and(|word| word.starts_with(end))
                }),
            _ => false,
        };
    }
    // Names and words may be spelled in escapes.
    glance.matters |= memchr_iter(b'\\', document)
        .any(|at| document.get(at..).unwrap_or_default().starts_with(b"\\u00"));
    glance
}

/// Adds a string to `said`, once its escapes are read; nothing where no string begins, and what there
/// is of one that is not closed. Gives the string as it is written.
fn read_text<'a>(value: &'a [u8], said: &mut TextTokens) -> &'a [u8] {
    let Some(string) = value.strip_prefix(b"\"") else { return &[] };
    let mut rest = string;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        said.feed(rest.get(..at).unwrap_or_default());
        let Some([b'\\', escaped, digits @ ..]) = rest.get(at..) else {
            let read = string.len().saturating_sub(rest.len()).saturating_add(at);
            return string.get(..read).unwrap_or_default();
        };
        rest = digits;
        if *escaped == b'u' {
            said.feed_unit(code_of(digits));
            rest = digits.get(4..).unwrap_or_default();
        } else {
            said.feed(&[unescaped(*escaped)]);
        }
    }
    said.feed(rest);
    string
}

/// What follows on `\u`: half of a pair, or a character.
fn code_of(digits: &[u8]) -> u32 {
    digits.get(..4).unwrap_or_default().iter().fold(0, |code: u32, digit| {
        (code << 4) | char::from(*digit).to_digit(16).unwrap_or_default()
    })
}
