use crate::text_tokens::TextTokens;

/// The text that a stream has delivered.
#[derive(Clone, Copy, Default)]
pub(super) struct DeliveredText {
    text: TextTokens,
    // Bytes of events of an unknown form. They may hold no generated text.
    unknown_bytes: u64,
    // Events of TGI, which carry one token each.
    token_events: u64,
    // Further costs, as the estimate and the least number of hundredths of a token: texts of TGI
    // events beyond one token, and texts that were counted separately.
    further_cost: (u64, u64),
}

/// The least number of tokens in the text of one TGI event that makes the estimate exceed one token.
const ESTIMATE_EXCEEDS_ONE: u64 = 2;
/// The same for the least number of tokens. No vocabulary has a token of this length.
const LEAST_EXCEEDS_ONE: u64 = 8;

impl DeliveredText {
    /// Returns the text so far, to be extended and [set](Self::set_text).
    pub(super) const fn text(&self) -> TextTokens {
        self.text
    }

    pub(super) const fn set_text(&mut self, text: TextTokens) {
        self.text = text;
    }

    /// Adds an event of an unknown form, which counts by its bytes.
    pub(super) const fn add_unknown(&mut self, bytes: u64) {
        self.unknown_bytes = self.unknown_bytes.saturating_add(bytes);
    }

    /// Adds an event of TGI. `text` is the text so far with the text of the event.
    pub(super) fn add_token_event(&mut self, text: &TextTokens, special: bool) {
        self.add_token(text.tokens_since(&self.text), special);
    }

    /// Adds an event of TGI whose text was counted separately, in hundredths of a token.
    pub(super) fn add_token_cost(&mut self, (estimate, least): (u64, u64)) {
        self.add_token((estimate.div_ceil(100), least / 100), false);
    }

    fn add_token(&mut self, (estimate, least): (u64, u64), special: bool) {
        self.token_events = self.token_events.saturating_add(1);
        // One token of a phrase or of punctuation looks like several. Tokens of a chat template are
        // marked as special.
        let estimate = if special || least < ESTIMATE_EXCEEDS_ONE { 1 } else { estimate };
        let least = if special || least < LEAST_EXCEEDS_ONE { 1 } else { least };
        let beyond_one = |tokens: u64| tokens.saturating_sub(1).saturating_mul(100);
        self.add_cost((beyond_one(estimate), beyond_one(least)));
    }

    /// Adds text that was counted separately, in hundredths of a token.
    pub(super) const fn add_cost(&mut self, (estimate, least): (u64, u64)) {
        let cost = &mut self.further_cost;
        cost.0 = cost.0.saturating_add(estimate);
        cost.1 = cost.1.saturating_add(least);
    }

    /// Returns whether events of a known form brought text.
    pub(super) const fn is_known(&self) -> bool {
        self.text.estimate() > 0 || self.token_events > 0 || self.further_cost.0 > 0
    }

    /// Returns whether events of TGI brought text.
    pub(super) const fn has_token_events(&self) -> bool {
        self.token_events > 0
    }

    /// Returns the estimated tokens.
    pub(super) fn tokens(&self) -> u64 {
        let events = self.token_events.saturating_add(self.further_cost.0.div_ceil(100));
        self.text.estimate().saturating_add(self.unknown_bytes.div_ceil(4)).saturating_add(events)
    }

    /// Returns the least number of tokens.
    pub(super) const fn least_tokens(&self) -> u64 {
        let least = self.text.least().saturating_add(self.token_events);
        least.saturating_add(self.further_cost.1 / 100)
    }
}
