//! The texts of a JSON document that a model may have written.

use crate::text_tokens::TextTokens;

/// What a text is, by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TextKind {
    /// Stands for itself.
    Content,
    // The others may repeat one another: `reasoning` stands beside its older name
    // `reasoning_content` (vLLM) and in parts (OpenRouter's `reasoning_details`), `thinking` beside
    // both (LiteLLM), and a `generated_text` beside each of its tokens (TGI's `details`).
    Generated,
    Part,
    Reasoning,
    ReasoningContent,
    Thinking,
}

/// The tokens of all texts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Texts {
    tokens: TextTokens,
    // Of each kind, in hundredths, the least that there are: up to 42 million tokens.
    least: [u32; 6],
    // Whether it is what an event of a stream adds, and those that are: by the estimate, and at least.
    within: bool,
    fresh: (u32, u32),
}

impl TextKind {
    pub(super) const fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"content" | b"refusal" | b"arguments" => Self::Content,
            b"generated_text" => Self::Generated,
            b"text" => Self::Part,
            b"reasoning" => Self::Reasoning,
            b"reasoning_content" => Self::ReasoningContent,
            b"thinking" => Self::Thinking,
            _ => return None,
        })
    }
}

impl Texts {
    pub(super) fn feed(&mut self, kind: TextKind, bytes: &[u8]) {
        self.read(kind, |tokens| tokens.feed(bytes));
    }

    pub(super) fn feed_unit(&mut self, kind: TextKind, code: u32) {
        self.read(kind, |tokens| tokens.feed_unit(code));
    }

    /// Whether the next text is what an event of a stream adds, if its form is known.
    pub(super) const fn set_within(&mut self, within: bool) {
        self.within = within;
    }

    /// What an event adds, in hundredths of a token: by the estimate, and at least.
    pub(super) fn fresh(&self) -> (u64, u64) {
        (self.fresh.0.into(), self.fresh.1.into())
    }

    /// Another text begins.
    pub(super) const fn end(&mut self) {
        self.tokens.end();
    }

    pub(super) const fn estimate(&self) -> u64 {
        self.tokens.estimate()
    }

    /// The tokens that there are at least, if texts that may repeat one another do.
    pub(super) fn least(&self) -> u64 {
        self.cost().1 / 100
    }

    /// The same in hundredths of a token, after the estimate.
    pub(super) fn cost(&self) -> (u64, u64) {
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
        if self.within {
            let (estimate, least) = self.fresh;
            self.fresh = (grown(estimate, before.0, after.0), grown(least, before.1, after.1));
        }
    }
}

/// What was charged may be taken back as well.
fn grown(sum: u32, before: u64, after: u64) -> u32 {
    let sum = u64::from(sum).saturating_add(after).saturating_sub(before);
    u32::try_from(sum).unwrap_or(u32::MAX)
}
