use memchr::memchr;

use super::{
    Verdict,
    events::News,
    found::Marks,
    json::Scanner,
    story::{Said, Story},
};
use crate::{body::BodyEnd, context::StreamEnd};

/// Reads a stream of JSON documents, one a line: Ollama's.
pub(super) struct Lines {
    scanner: Scanner,
    story: Story,
    // A line had a member that says whether the stream has ended.
    speaks: bool,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { scanner: Scanner::new(), story: Story::default(), speaks: false }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> News {
        let before = self.story.end();
        let mut tells = false;
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.scanner.feed(line);
            tells |= self.conclude();
            rest = tail.get(1..).unwrap_or_default();
        }
        self.scanner.feed(rest);
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
    pub(super) const fn least_tokens(&self) -> u64 {
        self.story.least_tokens()
    }

    /// The body has ended. Where no line speaks of an end, a whole body has none.
    pub(super) fn finish(&mut self, body: BodyEnd) -> News {
        let tells = self.conclude();
        let whole = matches!(body, BodyEnd::Complete | BodyEnd::Trailers);
        if self.speaks || !whole {
            self.story.finish(body);
        }
        News { told: self.story.told().filter(|_| tells), end: self.story.end() }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.story.end() {
            None => Verdict::Silent,
            Some(StreamEnd::Done | StreamEnd::Failed | StreamEnd::Cut) => self.story.verdict(),
        }
    }

    /// A line has ended.
    fn conclude(&mut self) -> bool {
        let scanner = std::mem::replace(&mut self.scanner, Scanner::new());
        let Some(found) = scanner.finish() else { return false };
        self.speaks |= found.has(Marks::DONE) || found.is_open() || !found.endings().is_empty();
        self.story.deliver_counted(found.texts.cost());
        self.story.hear(found, Said::default())
    }
}
