use super::{
    Verdict,
    found::{Found, Marks},
    usage::Told,
    words::{Endings, Type},
};
use crate::{body::BodyEnd, context::StreamEnd, text_tokens::TextTokens};

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
    text: TextTokens,
    // Bytes of events of an unknown form, which may be no text of a model.
    unknown: u64,
    // Events of TGI, which say that they carry one token each.
    tokens: u64,
    // What their texts have beyond, and texts that were counted by themselves, in hundredths of a
    // token: by the estimate, and at least.
    beyond: (u64, u64),
}

/// Tokens that the text of one token may look like, at least, before the estimate has more of them; and
/// before there are certainly more, as no vocabulary has a token of so much text.
const LOOKS_LIKE_MORE: u64 = 2;
const IS_MORE: u64 = 8;

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
    /// The text so far, to be added to and delivered.
    pub(super) const fn text(&self) -> TextTokens {
        self.delivered.text
    }

    pub(super) const fn deliver(&mut self, text: TextTokens) {
        self.delivered.text = text;
    }

    /// An event of an unknown form is charged by its bytes.
    pub(super) const fn deliver_unknown(&mut self, bytes: u64) {
        self.delivered.unknown = self.delivered.unknown.saturating_add(bytes);
    }

    /// TGI's event of one token, by what its text would be.
    pub(super) fn deliver_token(&mut self, text: &TextTokens, special: bool) {
        let (estimate, least) = text.tokens_since(&self.delivered.text);
        self.delivered.tokens = self.delivered.tokens.saturating_add(1);
        // A token of a phrase or a mark looks like a few. Those of a template are marked.
        let estimate = if special || least < LOOKS_LIKE_MORE { 1 } else { estimate };
        let least = if special || least < IS_MORE { 1 } else { least };
        let beyond = |tokens: u64| tokens.saturating_sub(1).saturating_mul(100);
        self.deliver_counted((beyond(estimate), beyond(least)));
    }

    /// Text that was counted by itself, in hundredths of a token.
    pub(super) const fn deliver_counted(&mut self, (estimate, least): (u64, u64)) {
        let beyond = &mut self.delivered.beyond;
        beyond.0 = beyond.0.saturating_add(estimate);
        beyond.1 = beyond.1.saturating_add(least);
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
        let Delivered { text, unknown, tokens, beyond } = &self.delivered;
        let events = tokens.saturating_add(beyond.0.div_ceil(100));
        text.estimate().saturating_add(unknown.div_ceil(4)).saturating_add(events)
    }

    /// The tokens that the text has at least.
    pub(super) const fn least_tokens(&self) -> u64 {
        let Delivered { text, tokens, beyond, .. } = &self.delivered;
        text.least().saturating_add(*tokens).saturating_add(beyond.1 / 100)
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
