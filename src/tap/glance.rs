use memchr::{memchr_iter, memchr2};

use super::length_of_unit;

/// What a glance at a document tells.
#[derive(Default)]
pub(super) struct Glance {
    /// There can be something in it that is looked for.
    pub(super) matters: bool,
    /// It has the form of an event that is known.
    pub(super) known: bool,
    /// Bytes of generated text, in UTF-8.
    pub(super) text: u64,
    /// It is TGI's event of one token.
    pub(super) token: bool,
    /// A choice has no finish reason yet.
    pub(super) open: bool,
}

/// Glances at a document: so that deltas, of which a stream mostly consists, cost one search for
/// colons. Quotes inside of strings are escaped, so what looks like a name is one.
pub(super) fn glance(document: &[u8]) -> Glance {
    let mut glance = Glance::default();
    // Inside of an array of choices, or of a delta. An event of OpenAI's responses that repeats the
    // text of earlier ones has neither.
    let mut generated = false;
    for at in memchr_iter(b':', document) {
        let (name, value) = document.split_at_checked(at).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let name = name.trim_ascii_end();
        let is = |text: &[u8]| name.ends_with(text);
        if value.starts_with(b"null") {
            glance.open |= is(b"\"finish_reason\"");
            continue;
        }
        let mut text = false;
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
                text = is(b"\"content\"") || is(b"\"reasoning_content\"") || is(b"\"text\"");
            }
            [.., b'g' | b'l', b'"'] => {
                glance.matters |= is(b"\"detail\"") || is(b"\"msg\"");
                text = is(b"\"reasoning\"") || is(b"\"thinking\"") || is(b"\"refusal\"");
            }
            _ => {}
        }
        if text && generated {
            glance.text = glance.text.saturating_add(length_of_text(value));
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

/// The bytes of a string in UTF-8, once its escapes are read; zero where no string begins. One that
/// is not closed has the length that is there.
fn length_of_text(value: &[u8]) -> u64 {
    let Some(mut rest) = value.strip_prefix(b"\"") else { return 0 };
    let mut length = 0_u64;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        length = length.saturating_add(at as u64);
        let Some([b'\\', escaped, ..]) = rest.get(at..) else { return length };
        let (read, long) = match escaped {
            b'u' => (6, length_of_escape(rest.get(at.saturating_add(2)..).unwrap_or_default())),
            _ => (2, 1),
        };
        length = length.saturating_add(long);
        rest = rest.get(at.saturating_add(read)..).unwrap_or_default();
    }
    length.saturating_add(rest.len() as u64)
}

/// The bytes in UTF-8 of `\u` and these digits. Each half of a surrogate pair is half of four.
fn length_of_escape(digits: &[u8]) -> u64 {
    let code = digits.get(..4).unwrap_or_default().iter().fold(0, |code: u32, digit| {
        (code << 4) | char::from(*digit).to_digit(16).unwrap_or_default()
    });
    length_of_unit(code)
}
