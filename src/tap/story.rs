use super::{
    Verdict,
    found::{Found, Marks},
    tokens_of,
    usage::Told,
    words::{Endings, Type},
};
use crate::{body::BodyEnd, context::StreamEnd};

/// What a stream has told so far, event by event.
#[derive(Default)]
pub(super) struct Story {
    end: Option<StreamEnd>,
    endings: Endings,
    // A choice was said to be unfinished.
    open: bool,
    told: Option<Told>,
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

/// What an event says beside its document.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    /// By the field `event`.
    pub(super) event_type: Type,
    /// It carries an error outside of its data.
    pub(super) error: bool,
    /// It is `[DONE]`.
    pub(super) done: bool,
    /// It has no data.
    pub(super) empty: bool,
}

impl Story {
    /// Text that was delivered: its bytes, and whether it is TGI's event of one token.
    pub(super) const fn deliver(&mut self, bytes: u64, token: bool) {
        self.delivered.bytes = self.delivered.bytes.saturating_add(bytes);
        self.delivered.tokens = self.delivered.tokens.saturating_add(token as u64);
    }

    pub(super) const fn leave_open(&mut self) {
        self.open = true;
    }

    /// An event has ended. True when it tells of usage.
    pub(super) fn hear(&mut self, found: &Found, said: Said) -> bool {
        let told = found.told();
        self.told = match (self.told, told) {
            (Some(before), Some(told)) => Some(before.then(told)),
            (before, told) => told.or(before),
        };
        self.endings = self.endings.and(found.endings());

        let is = |event_type| said.event_type == event_type || found.event_type == event_type;
        let failed = said.error || found.failed() || is(Type::Error) || is(Type::Failed);
        // Without data there is no event (WHATWG HTML section 9.2.6), but an error is one.
        let ends = !said.empty
            && (found.has(Marks::GENERATED)
                || found.has(Marks::DONE)
                || is(Type::Completed)
                || is(Type::Incomplete));
        let end = if failed || said.done && self.is_blank() {
            Some(StreamEnd::Failed)
        } else if said.done || ends {
            Some(StreamEnd::Done)
        } else {
            None
        };
        // TGI and llama.cpp send `[DONE]` after an error as well.
        if end.is_some() && self.end != Some(StreamEnd::Failed) {
            self.end = end;
        }
        told.is_some()
    }

    /// The body has ended. `None` for a stream of lines that has no end mark.
    pub(super) fn finish(&mut self, body: BodyEnd) {
        let whole = matches!(body, BodyEnd::Complete | BodyEnd::Trailers);
        let end = if whole && !self.endings.is_empty() { StreamEnd::Done } else { StreamEnd::Cut };
        self.end = self.end.or(Some(end));
    }

    pub(super) const fn end(&self) -> Option<StreamEnd> {
        self.end
    }

    pub(super) const fn told(&self) -> Option<Told> {
        self.told
    }

    /// The tokens of the text that was delivered so far, estimated.
    pub(super) fn tokens(&self) -> u64 {
        tokens_of(self.delivered.bytes).max(self.delivered.tokens)
    }

    /// Whether nothing was said: neither text, nor a finish reason, nor a count of output.
    fn is_blank(&self) -> bool {
        self.endings.is_empty()
            && self.tokens() == 0
            && !self.told.is_some_and(|told| told.has_output())
    }

    /// Whether the stream holds a whole response, now that it has ended.
    pub(super) fn verdict(&self) -> Verdict {
        match self.end {
            Some(StreamEnd::Failed) => Verdict::Failed,
            Some(StreamEnd::Done) if self.endings.is_empty() && self.open => Verdict::Unproven,
            Some(StreamEnd::Done) => Verdict::of(self.endings),
            Some(StreamEnd::Cut) | None => Verdict::Unproven,
        }
    }
}
