use memchr::memchr2_iter;

use super::json::{Found, Scanner, Type};
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
        let found = may_matter(frame).then(|| scan(frame)).flatten().unwrap_or_default();

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

/// Whether a document inside of `frame` can have anything that is looked for: so that deltas, of
/// which a stream mostly consists, cost one search for quotes.
fn may_matter(frame: &[u8]) -> bool {
    memchr2_iter(b'"', b'\\', frame).any(|at| match frame.get(at..).unwrap_or_default() {
        // A name may be spelled in escapes.
        [b'\\', rest @ ..] => rest.starts_with(b"u00"),
        [b'"', rest @ ..] => match rest {
            [b'd', ..] => has_value(rest, b"details\""),
            [b'e', ..] => has_value(rest, b"error\""),
            [b'f', ..] => has_value(rest, b"finish_reason\""),
            [b'g', ..] => has_value(rest, b"generated_text\""),
            [b'u', ..] => has_value(rest, b"usage\""),
            [b'r', ..] => {
                [&b"response.completed\""[..], b"response.failed\"", b"response.incomplete\""]
                    .iter()
                    .any(|event_type| rest.starts_with(event_type))
            }
            _ => false,
        },
        _ => false,
    })
}

/// Whether `text` begins with `name`, and what follows is not the value `null`.
fn has_value(text: &[u8], name: &[u8]) -> bool {
    text.strip_prefix(name).is_some_and(|rest| {
        let value = rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        !value.is_some_and(|value| value.starts_with(b"null"))
    })
}
