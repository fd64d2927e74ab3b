//! The counts of tokens that documents hold.

use crate::context::Usage;

/// Counts of tokens, by the slots below.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    values: [u64; 9],
    // A bit for each.
    known: u16,
}

/// Of the whole prompt.
pub(super) const PROMPT: u8 = 0;
pub(super) const COMPLETION: u8 = 1;
pub(super) const TOTAL: u8 = 2;
/// Of the prompt; Anthropic's is without the next two.
pub(super) const INPUT: u8 = 3;
pub(super) const OUTPUT: u8 = 4;
/// Tokens of the prompt that were written to a cache of prompts.
pub(super) const CREATED: u8 = 5;
/// Tokens of the prompt that were read from one.
pub(super) const CACHED: u8 = 6;
/// Gemini's output besides its candidates.
pub(super) const THOUGHTS: u8 = 7;

/// Tokens of the prompt that are listed one by one.
pub(super) const LISTED: u8 = 8;

/// What a response has told of its usage so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Told {
    prompt: Option<u64>,
    // Tokens of the prompt that stand beside it.
    beside: Option<u64>,
    listed: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    pub(super) fn set(&mut self, slot: u8, number: Option<u64>) {
        let bit = 1 << slot;
        match (number, self.values.get_mut(usize::from(slot))) {
            (Some(number), Some(value)) => {
                *value = number;
                self.known |= bit;
            }
            _ => self.known &= !bit,
        }
    }

    /// One more.
    pub(super) fn count(&mut self, slot: u8) {
        self.set(slot, Some(self.get(slot).unwrap_or_default().saturating_add(1)));
    }

    fn get(&self, slot: u8) -> Option<u64> {
        let known = self.known & (1 << slot) != 0;
        self.values.get(usize::from(slot)).copied().filter(|_| known)
    }

    /// `None` when they say nothing.
    pub(super) fn told(&self) -> Option<Told> {
        let beside = match (self.get(PROMPT), self.get(CREATED), self.get(CACHED)) {
            // It has them within, whatever else says so.
            (Some(_), ..) => Some(0),
            (None, None, None) => None,
            (None, created, cached) => {
                Some(created.unwrap_or_default().saturating_add(cached.unwrap_or_default()))
            }
        };
        let completion = self.get(COMPLETION).or_else(|| self.get(OUTPUT));
        let thoughts = self.get(THOUGHTS).unwrap_or_default();
        let told = Told {
            prompt: self.get(PROMPT).or_else(|| self.get(INPUT)),
            beside,
            listed: self.get(LISTED),
            completion: completion.map(|completion| completion.saturating_add(thoughts)),
            total: self.get(TOTAL),
        };
        let says = told.prompt.or(told.listed).or(told.completion).or(told.total).is_some();
        says.then_some(told)
    }
}

impl Told {
    /// What a later event says stands. What it does not say stays as it was: Anthropic tells of the
    /// prompt first, and of the completion in the end.
    pub(super) fn then(self, later: Self) -> Self {
        let anew = later.prompt.is_some() || later.completion.is_some();
        Self {
            prompt: later.prompt.or(self.prompt),
            beside: later.beside.or(self.beside),
            listed: later.listed.or(self.listed),
            completion: later.completion.or(self.completion),
            // An old total would be that of other parts.
            total: if anew { later.total } else { later.total.or(self.total) },
        }
    }

    /// Whether it tells of any output, or at least of work.
    pub(super) fn has_output(&self) -> bool {
        self.completion.or(self.total).is_some_and(|tokens| tokens > 0)
    }

    /// The usage. What the body does not say, the response's `fields` may.
    pub(super) fn usage(&self, fields: Usage) -> Usage {
        let beside = self.beside.unwrap_or_default();
        let prompt = self.prompt.map(|prompt| prompt.saturating_add(beside));
        Usage {
            prompt_tokens: prompt.or(fields.prompt_tokens).or(self.listed),
            completion_tokens: self.completion.or(fields.completion_tokens),
            total_tokens: self.total,
        }
    }
}
