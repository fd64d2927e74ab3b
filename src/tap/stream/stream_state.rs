use super::{delivered_text::DeliveredText, tap_update::TapUpdate};
#[cfg(feature = "cache")]
use crate::tap::completeness::Completeness;
use crate::{
    body::BodyEnd,
    context::StreamEnd,
    tap::document::{
        Choices, DocumentFacts, DocumentFlags, EventType, FinishReasons, PartialUsage,
    },
};

/// The facts that the events of a stream have stated so far.
#[derive(Default)]
pub(super) struct StreamState {
    end: Option<StreamEnd>,
    finish_reasons: FinishReasons,
    // A choice was reported as unfinished.
    unfinished: bool,
    choices: Choices,
    // Text of a completion came outside of choices.
    root_text: bool,
    // The stream has a part that is no event of a known server, or one that speaks against success.
    doubtful: bool,
    // The last event of TGI had the whole text.
    generated_text: bool,
    usage: Option<PartialUsage>,
    pub(super) delivered: DeliveredText,
}

/// The fields of an event apart from the document in its data.
#[derive(Clone, Copy, Default)]
pub(super) struct EventFields {
    /// The value of the field `event`.
    pub(super) event_type: EventType,
    /// Another field than the data carries an error.
    pub(super) error: bool,
    /// The data is `[DONE]`.
    pub(super) done: bool,
    /// The event has no data.
    pub(super) empty: bool,
}

impl StreamState {
    pub(super) const fn set_unfinished(&mut self) {
        self.unfinished = true;
    }

    /// Records that the first choice has no finish reason yet.
    pub(super) fn open_first_choice(&mut self) {
        self.choices.add(0, false);
    }

    pub(super) const fn set_root_text(&mut self) {
        self.root_text = true;
    }

    pub(super) const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    pub(super) const fn set_doubtful(&mut self) {
        self.doubtful = true;
    }

    /// Adds an event. Returns true when it reports usage.
    pub(super) fn add_event(&mut self, facts: &DocumentFacts, fields: EventFields) -> bool {
        let usage = facts.usage();
        self.usage = match (self.usage, usage) {
            (Some(earlier), Some(usage)) => Some(earlier.updated_by(usage)),
            (earlier, usage) => usage.or(earlier),
        };
        self.finish_reasons = self.finish_reasons.and(facts.finish_reasons());

        self.choices = self.choices.and(facts.choices);

        let is = |event_type| fields.event_type == event_type || facts.event_type == event_type;
        let failed =
            fields.error || facts.has_failed() || is(EventType::Error) || is(EventType::Failed);
        self.doubtful |= is(EventType::Completed) && facts.is_unfinished();
        self.generated_text |= facts.has(DocumentFlags::GENERATED_TEXT);
        let ends = facts.has(DocumentFlags::GENERATED_TEXT)
            || facts.has(DocumentFlags::DONE)
            || is(EventType::Completed)
            || is(EventType::Incomplete);
        self.end_by(fields, failed, ends);
        usage.is_some()
    }

    /// Adds an event whose document has no facts, or which has no data.
    pub(super) fn add_plain_event(&mut self, fields: EventFields) {
        let failed = match fields.event_type {
            EventType::Error => true,
            EventType::Failed => fields.error || !fields.empty,
            _ => fields.error,
        };
        // An event without data is not dispatched (WHATWG HTML section 9.2.6). An error counts anyway.
        let ends = matches!(fields.event_type, EventType::Completed | EventType::Incomplete);
        self.end_by(fields, failed, ends && !fields.empty);
    }

    /// Ends the stream if an event says so.
    fn end_by(&mut self, fields: EventFields, failed: bool, ends: bool) {
        let end = if failed || fields.done && self.is_blank() {
            Some(StreamEnd::Failed)
        } else if fields.done || ends {
            Some(StreamEnd::Done)
        } else {
            None
        };
        // TGI and llama.cpp send `[DONE]` after an error as well.
        if end.is_some() && self.end != Some(StreamEnd::Failed) {
            self.end = end;
        }
    }

    /// Ends the stream with its body.
    pub(super) fn finish(&mut self, body: BodyEnd) {
        let whole = matches!(body, BodyEnd::Complete | BodyEnd::Trailers);
        let finished = whole && !self.finish_reasons.is_empty();
        self.end = self.end.or(Some(if finished { StreamEnd::Done } else { StreamEnd::Cut }));
    }

    pub(super) const fn end(&self) -> Option<StreamEnd> {
        self.end
    }

    /// Returns the results since the end of the stream was `end_before`.
    pub(super) fn update(&self, usage_changed: bool, end_before: Option<StreamEnd>) -> TapUpdate {
        TapUpdate {
            usage: self.usage.filter(|_| usage_changed),
            end: self.end.filter(|end| end_before != Some(*end)),
            tokens: self.delivered.tokens(),
            least_tokens: self.delivered.least_tokens(),
        }
    }

    /// Returns whether the stream had no text, no finish reason and no count of output.
    fn is_blank(&self) -> bool {
        self.finish_reasons.is_empty()
            && !self.root_text
            && !self.delivered.is_known()
            && !self.usage.is_some_and(|usage| usage.has_output())
    }

    /// Returns whether the stream brought output that no failure has, and left no choice open.
    fn is_proven(&self) -> bool {
        let open = if self.finish_reasons.is_empty() {
            // TGI ends its tokens with the whole text.
            self.unfinished || self.delivered.has_token_events() && !self.generated_text
        } else {
            self.choices.is_open()
        };
        !self.is_blank() && !open && !self.doubtful
    }

    /// Returns whether the stream holds a complete response, after [`finish`](Self::finish).
    ///
    /// A chat has no text in the roots of its events.
    #[cfg(feature = "cache")]
    pub(super) fn completeness(&self, text_in_roots: bool) -> Completeness {
        match self.end {
            Some(StreamEnd::Failed) => Completeness::Failed,
            Some(StreamEnd::Done) if !self.is_proven() || self.root_text && !text_in_roots => {
                Completeness::Unproven
            }
            Some(StreamEnd::Done) if self.finish_reasons.is_empty() && self.generated_text => {
                Completeness::OpenEnded
            }
            Some(StreamEnd::Done) => Completeness::of(self.finish_reasons),
            Some(StreamEnd::Cut) | None => Completeness::Unproven,
        }
    }
}
