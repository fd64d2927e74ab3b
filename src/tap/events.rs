use memchr::{memchr_iter, memchr2};

use super::{
    found::{Found, Type},
    json::Scanner,
    length_of_unit, tokens_of,
};
use crate::{
    body::BodyEnd,
    context::{StreamEnd, Usage},
    sse::{Framer, Splitter, fields, strip_byte_order_mark},
};

/// Reads a stream of events.
pub(super) struct Events {
    splitter: Splitter,
    // The start of a frame that crosses chunks.
    pending: Vec<u8>,
    started: bool,
    end: Option<StreamEnd>,
    // A choice had its finish reason.
    finished: bool,
    delivered: Delivered,
}

/// The text that a stream has delivered.
#[derive(Clone, Copy, Default)]
struct Delivered {
    // In UTF-8.
    bytes: u64,
    // Events of TGI, which carry one token each.
    tokens: u64,
}

/// What a chunk brought.
#[derive(Default)]
pub(super) struct News {
    pub(super) usage: Option<Usage>,
    pub(super) end: Option<StreamEnd>,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            splitter: Splitter::new(Framer::DEFAULT_MAX_FRAME),
            pending: Vec::new(),
            started: false,
            end: None,
            finished: false,
            delivered: Delivered { bytes: 0, tokens: 0 },
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> News {
        let mut news = News::default();
        let mut rest = chunk;
        while !rest.is_empty() {
            let part = self.splitter.next(rest);
            let (frame, tail) = rest.split_at_checked(part.len).unwrap_or((rest, &[]));
            rest = tail;
            if part.oversize {
                self.started = true;
                self.pending.clear();
            } else if !part.closes {
                self.pending.extend_from_slice(frame);
            } else if self.pending.is_empty() {
                self.read(frame, &mut news);
            } else {
                let mut pending = std::mem::take(&mut self.pending);
                pending.extend_from_slice(frame);
                self.read(&pending, &mut news);
                pending.clear();
                self.pending = pending;
            }
        }
        news
    }

    /// The tokens of the text that was delivered so far, estimated.
    pub(super) fn tokens(&self) -> u64 {
        tokens_of(self.delivered.bytes).max(self.delivered.tokens)
    }

    /// How the stream ended, now that the body did.
    pub(super) const fn finish(&self, body: BodyEnd) -> StreamEnd {
        match (self.end, body) {
            (Some(end), _) => end,
            (None, BodyEnd::Complete | BodyEnd::Trailers) if self.finished => StreamEnd::Done,
            (None, _) => StreamEnd::Cut,
        }
    }

    fn read(&mut self, frame: &[u8], news: &mut News) {
        let first = !std::mem::replace(&mut self.started, true);
        let frame = if first { strip_byte_order_mark(frame) } else { frame };

        let (mut event_type, mut data, mut lines) = (&[][..], &[][..], 0_u8);
        for (name, value) in fields(frame) {
            match name {
                b"event" => event_type = value,
                b"data" => (data, lines) = (value, lines.saturating_add(1)),
                _ => {}
            }
        }
        // Without data there is no event (WHATWG HTML section 9.2.6).
        if lines == 0 {
            return;
        }
        let done = lines == 1 && data.trim_ascii() == b"[DONE]";
        let document = if lines > 1 { frame } else { data };
        let glance = glance(document);
        let Delivered { bytes, tokens } = &mut self.delivered;
        // An event of an unknown form is charged by its bytes.
        let said = if glance.known || done { glance.text } else { document.len() as u64 };
        *bytes = bytes.saturating_add(said);
        *tokens = tokens.saturating_add(glance.token.into());
        let read = lines > 1 || glance.matters;
        let found = read.then(|| scan(frame)).flatten().unwrap_or_default();

        let (by_field, by_member) = (Type::of(event_type), found.event_type);
        let is = |event_type| by_field == event_type || by_member == event_type;
        let end = if found.error || is(Type::Error) || is(Type::Failed) {
            Some(StreamEnd::Failed)
        } else if done || found.generated || is(Type::Completed) {
            Some(StreamEnd::Done)
        } else {
            None
        };
        // TGI sends `[DONE]` after an error as well.
        if end.is_some() && self.end != Some(StreamEnd::Failed) {
            self.end = end;
            news.end = end;
        }
        self.finished |= found.finished;
        news.usage = found.usage().or(news.usage);
    }
}

fn scan(frame: &[u8]) -> Option<Found> {
    let mut scanner = Scanner::new();
    for (_, line) in fields(frame).filter(|(name, _)| *name == b"data") {
        scanner.feed(line);
        scanner.feed(b"\n");
    }
    scanner.finish().copied()
}

/// What a glance at a document tells.
#[derive(Default)]
struct Glance {
    /// There can be something in it that is looked for.
    matters: bool,
    /// It has the form of an event that is known.
    known: bool,
    /// Bytes of generated text, in UTF-8.
    text: u64,
    /// It is TGI's event of one token.
    token: bool,
}

/// Glances at a document: so that deltas, of which a stream mostly consists, cost one search for
/// colons. Quotes inside of strings are escaped, so what looks like a name is one.
fn glance(document: &[u8]) -> Glance {
    let mut glance = Glance::default();
    // Inside of an array of choices, or of a delta. An event of OpenAI's responses that repeats the
    // text of earlier ones has neither.
    let mut generated = false;
    for at in memchr_iter(b':', document) {
        let (name, value) = document.split_at_checked(at).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        if value.starts_with(b"null") {
            continue;
        }
        let name = name.trim_ascii_end();
        let is = |text: &[u8]| name.ends_with(text);
        let mut text = false;
        match name {
            [.., b'e', b'"'] => {
                glance.matters |= is(b"\"usage\"");
                glance.known |= is(b"\"usage\"") || is(b"\"type\"");
                text = is(b"\"name\"");
            }
            [.., b'n', b'"'] => {
                glance.matters |= is(b"\"finish_reason\"");
                text = is(b"\"partial_json\"");
                if is(b"\"token\"") && value.starts_with(b"{") {
                    (glance.token, generated, glance.known) = (true, true, true);
                }
            }
            [.., b'r', b'"'] if is(b"\"error\"") => {
                (glance.matters, glance.known) = (true, true);
            }
            [.., b's', b'"'] => {
                glance.matters |= is(b"\"details\"");
                let choices = is(b"\"choices\"");
                generated |= choices;
                glance.known |= choices;
                text = is(b"\"arguments\"");
            }
            [.., b'a', b'"'] if is(b"\"delta\"") => {
                (generated, glance.known) = (true, true);
                // A string, of OpenAI's responses.
                text = true;
            }
            [.., b't', b'"'] => {
                glance.matters |= is(b"\"generated_text\"");
                text = is(b"\"content\"") || is(b"\"reasoning_content\"") || is(b"\"text\"");
            }
            [.., b'g' | b'l', b'"'] => {
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
            [b'"', b'r', ..] => {
                [&b"completed\""[..], b"failed\"", b"incomplete\""].iter().any(|end| {
                    let word = value.strip_prefix(b"\"response.");
                    word.is_some_and(|word| word.starts_with(end))
                })
            }
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
