use crate::text_tokens::TextTokens;

/// The kinds of generated text by the names of their members.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TextKind {
    /// A text that no other member repeats.
    Content,
    // The others may repeat each other. `reasoning` comes beside its older name `reasoning_content`
    // (vLLM) and in parts (OpenRouter's `reasoning_details`). `thinking` comes beside both
    // (LiteLLM). A `generated_text` comes beside each of its tokens (TGI's `details`).
    Generated,
    Part,
    Reasoning,
    ReasoningContent,
    Thinking,
}

/// The tokens of all generated texts of a document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GeneratedText {
    tokens: TextTokens,
    // The least tokens of each kind in hundredths: up to 42 million tokens.
    least: [u32; 6],
    // Whether the next text is new in this event, and the cost of all such texts.
    in_delta: bool,
    delta_cost: (u32, u32),
}

impl TextKind {
    pub(super) const fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"content" | b"refusal" | b"partial_json" => Self::Content,
            b"generated_text" => Self::Generated,
            b"text" => Self::Part,
            b"reasoning" => Self::Reasoning,
            b"reasoning_content" => Self::ReasoningContent,
            b"thinking" => Self::Thinking,
            _ => return None,
        })
    }
}

impl GeneratedText {
    pub(super) fn feed(&mut self, kind: TextKind, bytes: &[u8]) {
        self.read(kind, |tokens| tokens.feed(bytes));
    }

    pub(super) fn feed_unit(&mut self, kind: TextKind, code: u32) {
        self.read(kind, |tokens| tokens.feed_unit(code));
    }

    /// Sets whether the next text is new in this event of a stream.
    pub(super) const fn set_in_delta(&mut self, in_delta: bool) {
        self.in_delta = in_delta;
    }

    /// Returns the cost of the texts that are new in this event, as [`cost`](Self::cost) does.
    pub(crate) fn delta_cost(&self) -> (u64, u64) {
        let (estimate, least) = self.delta_cost;
        (estimate.into(), u64::from(least).min(self.cost().1))
    }

    /// Ends a text. The next one is independent of it.
    pub(super) const fn end_text(&mut self) {
        self.tokens.end();
    }

    pub(crate) const fn estimate(&self) -> u64 {
        self.tokens.estimate()
    }

    /// Returns the least number of tokens, assuming that texts repeat each other where they may.
    pub(crate) fn least(&self) -> u64 {
        self.cost().1 / 100
    }

    /// Returns the estimate and the least number of tokens, both in hundredths of a token.
    pub(crate) fn cost(&self) -> (u64, u64) {
        let [content, others @ ..] = self.least;
        let largest = others.into_iter().max().unwrap_or_default();
        (self.tokens.cost().0, content.saturating_add(largest).into())
    }

    fn read(&mut self, kind: TextKind, read: impl FnOnce(&mut TextTokens)) {
        let before = self.tokens.cost();
        read(&mut self.tokens);
        let after = self.tokens.cost();
        if let Some(least) = self.least.get_mut(kind as usize) {
            *least = grown(*least, before.1, after.1);
        }
        // TGI's last event repeats the texts of all.
        if self.in_delta && kind != TextKind::Generated {
            let (estimate, least) = self.delta_cost;
            self.delta_cost = (grown(estimate, before.0, after.0), grown(least, before.1, after.1));
        }
    }
}

/// Returns `sum` changed by the difference of two costs, which may be negative.
fn grown(sum: u32, before: u64, after: u64) -> u32 {
    let sum = u64::from(sum).saturating_add(after).saturating_sub(before);
    u32::try_from(sum).unwrap_or(u32::MAX)
}
