use super::{
    Verdict,
    found::Found,
    glance::glance,
    json::Scanner,
    passing::Passing,
    story::{Said, Story},
    usage::Told,
    words::Type,
};
use crate::{
    body::BodyEnd,
    context::StreamEnd,
    sse::{Splitter, fields, strip_byte_order_mark},
};

/// Reads a stream of events.
pub(super) struct Events {
    splitter: Splitter,
    // The start of a frame that crosses chunks.
    pending: Vec<u8>,
    // What reads one that is too long to wait for. Boxed: hardly any stream has one.
    passing: Option<Box<Passing>>,
    started: bool,
    story: Story,
}

/// What a chunk brought.
#[derive(Default)]
pub(super) struct News {
    pub(super) told: Option<Told>,
    pub(super) end: Option<StreamEnd>,
}

impl Events {
    /// The longest start of a frame that is held back until the frame is complete. A longer one is
    /// read as it passes.
    const MAX_PENDING: usize = 64 * 1024;

    pub(super) fn new() -> Self {
        Self {
            // A frame within one chunk is read where it is, however long.
            splitter: Splitter::new(usize::MAX),
            pending: Vec::new(),
            passing: None,
            started: false,
            story: Story::default(),
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> News {
        let before = self.story.end();
        let mut tells = false;
        let mut rest = chunk;
        while !rest.is_empty() {
            let part = self.splitter.next(rest);
            let (piece, tail) = rest.split_at_checked(part.len).unwrap_or((rest, &[]));
            rest = tail;
            if let Some(passing) = &mut self.passing {
                passing.feed(piece);
            } else if part.closes && self.pending.is_empty() {
                tells |= self.read(piece, true);
                continue;
            } else {
                self.wait(piece);
            }
            if part.closes {
                tells |= self.conclude(true);
            }
        }
        News {
            told: self.story.told().filter(|_| tells),
            end: self.story.end().filter(|end| before != Some(*end)),
        }
    }

    /// The tokens of the text that was delivered so far, estimated.
    pub(super) fn tokens(&self) -> u64 {
        self.story.tokens()
    }

    /// The tokens that the text has at least.
    pub(super) fn least_tokens(&self) -> u64 {
        self.story.least_tokens()
    }

    /// The body has ended. llama.cpp's last event can lack the blank line that would close it. Text is
    /// not taken out of one: it may have been cut.
    pub(super) fn finish(&mut self, body: BodyEnd) -> News {
        if let Some(passing) = &mut self.passing {
            passing.feed(b"\n");
        } else if !self.pending.is_empty() {
            self.pending.push(b'\n');
        }
        let tells = self.conclude(false);
        self.story.finish(body);
        News { told: self.story.told().filter(|_| tells), end: self.story.end() }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.story.verdict()
    }

    /// Holds the start of a frame back, unless it is too long.
    fn wait(&mut self, piece: &[u8]) {
        if self.pending.len().saturating_add(piece.len()) <= Self::MAX_PENDING {
            self.pending.extend_from_slice(piece);
            return;
        }
        let mut passing = Box::new(Passing::new());
        let start = self.pending.iter().chain(piece.iter().take(3)).copied();
        let mark = !self.started && start.take(3).eq("\u{feff}".bytes());
        self.started = true;
        let skipped = if mark { 3 } else { 0 };
        let late = usize::saturating_sub(skipped, self.pending.len());
        passing.feed(self.pending.get(skipped..).unwrap_or_default());
        passing.feed(piece.get(late..).unwrap_or_default());
        self.pending = Vec::new();
        self.passing = Some(passing);
    }

    /// Reads what was held back, or has passed.
    fn conclude(&mut self, closed: bool) -> bool {
        if let Some(passing) = self.passing.take() {
            return passing.finish(&mut self.story, closed);
        }
        if self.pending.is_empty() {
            return false;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let tells = self.read(&pending, closed);
        pending.clear();
        self.pending = pending;
        tells
    }

    fn read(&mut self, frame: &[u8], closed: bool) -> bool {
        let first = !std::mem::replace(&mut self.started, true);
        let frame = if first { strip_byte_order_mark(frame) } else { frame };

        let mut said = Said::default();
        let (mut data, mut lines, mut bare) = (&[][..], 0_u8, false);
        for (name, value) in fields(frame) {
            match name {
                b"event" => said.event_type = Type::of(value),
                b"data" => (data, lines) = (value, lines.saturating_add(1)),
                // llama.cpp's, of before October 2025 (tools/server/utils.hpp, server_sent_event).
                b"error" => said.error |= !matches!(value.trim_ascii(), b"" | b"null"),
                // A JSON document without a field: an error of what stands before the server.
                [b'{', ..] => bare = true,
                _ => {}
            }
        }
        said.empty = lines == 0;
        if said.empty {
            said.error |= bare && scan([frame]).is_some_and(|found| found.failed());
            let matters = said.error || said.event_type == Type::Error;
            return matters && self.story.hear(&Found::default(), said);
        }
        said.done = lines == 1 && data.trim_ascii() == b"[DONE]";
        let document = if lines > 1 { frame } else { data };
        let mut text = self.story.text();
        let glance = glance(document, &mut text);
        // An event of an unknown form is charged by its bytes.
        let known = glance.known || said.done || matches!(document.trim_ascii(), b"" | b"{}");
        if !closed {
            // It may have been cut.
        } else if glance.token {
            self.story.deliver_token(&text, glance.special);
        } else if known {
            self.story.deliver(text);
        } else {
            self.story.deliver_unknown(document.len() as u64);
        }
        if glance.open {
            self.story.leave_open();
        }
        let data = || fields(frame).filter(|(name, _)| *name == b"data").map(|(_, line)| line);
        let read = lines > 1 || glance.matters;
        let found = read.then(|| scan(data())).flatten().unwrap_or_default();
        self.story.hear(&found, said)
    }
}

/// Reads the lines of a document.
fn scan<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Found> {
    let mut scanner = Scanner::new();
    for line in lines {
        scanner.feed(line);
        scanner.feed(b"\n");
    }
    scanner.finish().copied()
}
