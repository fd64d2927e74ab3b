use memchr::memchr_iter;

use super::{
    found::{Found, Type},
    json::Scanner,
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
    // Deltas that said something.
    deltas: u64,
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
            deltas: 0,
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

    /// How many deltas said something so far.
    pub(super) const fn deltas(&self) -> u64 {
        self.deltas
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
        let glance = glance(if lines > 1 { frame } else { data });
        self.deltas = self.deltas.saturating_add(glance.deltas);
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
    /// Deltas that say something.
    deltas: u64,
}

/// Glances at a document: so that deltas, of which a stream mostly consists, cost one search for
/// colons. Quotes inside of strings are escaped, so what looks like a name is one.
fn glance(document: &[u8]) -> Glance {
    let mut glance = Glance::default();
    // Inside of `choices`; of a `delta`, and whether that said something already.
    let (mut choices, mut delta, mut token) = (false, None, false);
    for at in memchr_iter(b':', document) {
        let (name, value) = document.split_at_checked(at).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        if value.starts_with(b"null") {
            continue;
        }
        let name = name.trim_ascii_end();
        let (is, says) = (|text: &[u8]| name.ends_with(text), says_something(value));
        match name {
            [.., b'e', b'"'] => glance.matters |= is(b"\"usage\""),
            [.., b'n', b'"'] => {
                glance.matters |= is(b"\"finish_reason\"");
                // Of TGI: one event for each.
                if is(b"\"token\"") && value.starts_with(b"{") {
                    token = true;
                    glance.deltas = glance.deltas.saturating_add(1);
                }
            }
            [.., b'r', b'"'] => glance.matters |= is(b"\"error\""),
            [.., b's', b'"'] => {
                glance.matters |= is(b"\"details\"");
                choices |= is(b"\"choices\"");
                if is(b"\"tool_calls\"") && value.starts_with(b"[{") {
                    said(&mut delta, &mut glance);
                }
            }
            [.., b'a', b'"'] if is(b"\"delta\"") => match value {
                [b'{', ..] => delta = Some(false),
                // Of OpenAI's responses.
                _ if says => glance.deltas = glance.deltas.saturating_add(1),
                _ => {}
            },
            [.., b't', b'"'] => {
                glance.matters |= is(b"\"generated_text\"");
                if says && (is(b"\"content\"") || is(b"\"reasoning_content\"")) {
                    said(&mut delta, &mut glance);
                } else if says && is(b"\"text\"") && choices && !token {
                    match delta {
                        Some(_) => said(&mut delta, &mut glance),
                        None => glance.deltas = glance.deltas.saturating_add(1),
                    }
                }
            }
            [.., b'g' | b'l', b'"'] if says && (is(b"\"reasoning\"") || is(b"\"refusal\"")) => {
                said(&mut delta, &mut glance);
            }
            _ => {}
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

/// A member of a delta says something. Of several, the first counts.
fn said(delta: &mut Option<bool>, glance: &mut Glance) {
    if *delta == Some(false) {
        *delta = Some(true);
        glance.deltas = glance.deltas.saturating_add(1);
    }
}

/// A string that is not empty.
const fn says_something(value: &[u8]) -> bool {
    matches!(value, [b'"', next, ..] if *next != b'"')
}
