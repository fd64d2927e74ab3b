use crate::context::Usage;

/// The kinds of token counts in documents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CountKind {
    /// The whole prompt.
    Prompt,
    Completion,
    Total,
    /// The prompt. Anthropic leaves out the next two.
    Input,
    Output,
    /// Tokens of the prompt that were written to a prompt cache.
    CacheCreation,
    /// Tokens of the prompt that were read from a prompt cache.
    CacheRead,
    /// Output of Gemini besides its candidates.
    Thoughts,
    /// Elements of a list of prompt tokens.
    ListedPrompt,
}

/// Token counts by their kinds.
#[derive(Clone, Copy, Default)]
pub(super) struct TokenCounts {
    values: [u64; 9],
    // A bit for each kind.
    known: u16,
}

/// The counts that a response has reported so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct PartialUsage {
    prompt: Option<u64>,
    // Prompt tokens that `prompt` leaves out.
    cached_prompt: Option<u64>,
    listed_prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
}

impl TokenCounts {
    pub(super) fn set(&mut self, kind: CountKind, number: Option<u64>) {
        let bit = 1 << kind as u8;
        match (number, self.values.get_mut(kind as usize)) {
            (Some(number), Some(value)) => {
                *value = number;
                self.known |= bit;
            }
            _ => self.known &= !bit,
        }
    }

    pub(super) fn increment(&mut self, kind: CountKind) {
        self.set(kind, Some(self.get(kind).unwrap_or_default().saturating_add(1)));
    }

    fn get(&self, kind: CountKind) -> Option<u64> {
        let known = self.known & (1 << kind as u8) != 0;
        self.values.get(kind as usize).copied().filter(|_| known)
    }

    /// Returns the usage. Returns `None` without any count.
    pub(super) fn usage(&self) -> Option<PartialUsage> {
        if self.known == 0 {
            return None;
        }
        let caches = (self.get(CountKind::CacheCreation), self.get(CountKind::CacheRead));
        let cached_prompt = match (self.get(CountKind::Prompt), caches) {
            // This count includes cached tokens.
            (Some(_), _) => Some(0),
            (None, (None, None)) => None,
            (None, (created, read)) => {
                Some(created.unwrap_or_default().saturating_add(read.unwrap_or_default()))
            }
        };
        let completion = self.get(CountKind::Completion).or_else(|| self.get(CountKind::Output));
        let thoughts = self.get(CountKind::Thoughts).unwrap_or_default();
        let usage = PartialUsage {
            prompt: self.get(CountKind::Prompt).or_else(|| self.get(CountKind::Input)),
            cached_prompt,
            listed_prompt: self.get(CountKind::ListedPrompt),
            completion: completion.map(|completion| completion.saturating_add(thoughts)),
            total: self.get(CountKind::Total),
        };
        let known = usage.prompt.or(usage.listed_prompt).or(usage.completion).or(usage.total);
        known.is_some().then_some(usage)
    }
}

impl PartialUsage {
    /// Returns this usage with the counts of a later event in place of its own.
    ///
    /// Other counts stay: Anthropic reports the prompt first and the completion at the end.
    pub(crate) fn updated_by(self, later: Self) -> Self {
        let outdated = later.prompt.is_some() || later.completion.is_some();
        Self {
            prompt: later.prompt.or(self.prompt),
            cached_prompt: later.cached_prompt.or(self.cached_prompt),
            listed_prompt: later.listed_prompt.or(self.listed_prompt),
            completion: later.completion.or(self.completion),
            // The earlier total belongs to the earlier counts.
            total: if outdated { later.total } else { later.total.or(self.total) },
        }
    }

    /// Returns whether the counts prove output or at least work of the model.
    pub(crate) fn has_output(&self) -> bool {
        self.completion.or(self.total).is_some_and(|tokens| tokens > 0)
    }

    /// Returns the usage with the counts of the response headers where the body has none.
    pub(crate) fn or_headers(&self, headers: Usage) -> Usage {
        let cached = self.cached_prompt.unwrap_or_default();
        let prompt = self.prompt.map(|prompt| prompt.saturating_add(cached));
        Usage {
            prompt_tokens: prompt.or(headers.prompt_tokens).or(self.listed_prompt),
            completion_tokens: self.completion.or(headers.completion_tokens),
            total_tokens: self.total,
        }
    }
}
