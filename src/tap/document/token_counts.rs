use crate::context::Usage;

/// The kinds of token counts in documents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CountKind {
    /// The prompt. Anthropic leaves out the cached tokens.
    Input,
    Output,
    /// Tokens of the prompt that were read from a prompt cache.
    CacheRead,
    /// Tokens of the prompt that were written to a prompt cache.
    CacheCreation,
    /// Tokens of the whole prompt that were cached, from the details of the counts.
    CachedDetail,
    /// Tokens of the whole completion that are reasoning, from the details of the counts.
    ReasoningDetail,
    /// Tokens of the whole prompt that were written to a cache, from the details of the counts.
    CacheWriteDetail,
    /// Cached and reasoning tokens beside the counts.
    Cached,
    Reasoning,
    /// The whole prompt.
    Prompt,
    Completion,
    Total,
    /// Output of Gemini besides its candidates.
    Thoughts,
    /// Elements of a list of prompt tokens.
    ListedPrompt,
}

/// The objects that may hold counts. The first one with counts is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CountSource {
    Usage,
    PartUsage,
    // Used tokens come before billed tokens.
    Tokens,
    BilledUnits,
    Details,
    Root,
    Timings,
}

/// The token counts of a document by their sources and kinds.
#[derive(Clone, Copy)]
pub(super) struct TokenCounts {
    values: [u64; CountSource::SLOTS],
    // A bit for each value.
    known: u64,
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
    // Parts of the counts above.
    cached: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

impl CountSource {
    const ALL: [Self; 7] = [
        Self::Usage,
        Self::PartUsage,
        Self::Tokens,
        Self::BilledUnits,
        Self::Details,
        Self::Root,
        Self::Timings,
    ];
    const SLOTS: usize = 40;
    /// The bits of the counts that are parts of others: five in each of two usages, and two of
    /// [`Details`](Self::Details).
    const PARTS: u64 = (0b1_1111 << 4) | (0b1_1111 << 16) | (0b11 << 28);

    /// Returns the first slot of this source, its first kind and the number of its kinds.
    const fn slots(self) -> (usize, CountKind, usize) {
        match self {
            Self::Usage => (0, CountKind::Input, 12),
            Self::PartUsage => (12, CountKind::Input, 12),
            Self::Tokens => (24, CountKind::Input, 2),
            Self::BilledUnits => (26, CountKind::Input, 2),
            Self::Details => (28, CountKind::Cached, 7),
            Self::Root => (35, CountKind::Prompt, 2),
            Self::Timings => (37, CountKind::Input, 3),
        }
    }

    /// Returns the place of a count, or `None` for a kind that this source lacks.
    fn slot(self, kind: CountKind) -> Option<usize> {
        let (start, first, kinds) = self.slots();
        let place = (kind as usize).checked_sub(first as usize).filter(|place| *place < kinds)?;
        Some(start.saturating_add(place))
    }

    /// Returns the bits of all counts of this source.
    const fn bits(self) -> u64 {
        let (start, _, kinds) = self.slots();
        (u64::MAX >> (64 - kinds)) << start
    }
}

impl Default for TokenCounts {
    fn default() -> Self {
        Self { values: [0; CountSource::SLOTS], known: 0 }
    }
}

impl TokenCounts {
    pub(super) fn set(&mut self, source: CountSource, kind: CountKind, number: Option<u64>) {
        let Some(slot) = source.slot(kind) else { return };
        let bit = 1_u64 << slot;
        match (number, self.values.get_mut(slot)) {
            (Some(number), Some(value)) => {
                *value = number;
                self.known |= bit;
            }
            _ => self.known &= !bit,
        }
    }

    pub(super) fn increment(&mut self, source: CountSource, kind: CountKind) {
        let count = self.get(source, kind).unwrap_or_default();
        self.set(source, kind, Some(count.saturating_add(1)));
    }

    /// Forgets all counts of a source.
    pub(super) const fn clear(&mut self, source: CountSource) {
        self.known &= !source.bits();
    }

    /// Returns the counts of the first source that has any.
    pub(super) fn usage(&self) -> Option<PartialUsage> {
        let mut usage = CountSource::ALL.iter().find_map(|source| self.usage_of(*source))?;
        // llama.cpp states the cached tokens beside the usage.
        if self.known & CountSource::Timings.bits() != 0 && usage.cached.is_none() {
            usage.cached = self.get(CountSource::Timings, CountKind::CacheRead);
        }
        Some(usage)
    }

    fn get(&self, source: CountSource, kind: CountKind) -> Option<u64> {
        let slot = source.slot(kind)?;
        self.values.get(slot).copied().filter(|_| self.known & (1_u64 << slot) != 0)
    }

    fn usage_of(&self, source: CountSource) -> Option<PartialUsage> {
        let known = self.known & source.bits();
        if known == 0 {
            return None;
        }
        let (start, first, _) = source.slots();
        let get = |kind: CountKind| {
            let slot = start.wrapping_add(kind as usize).wrapping_sub(first as usize);
            let is_known = slot < CountSource::SLOTS && known >> slot & 1 == 1;
            if is_known { self.values.get(slot).copied() } else { None }
        };
        let caches = (get(CountKind::CacheCreation), get(CountKind::CacheRead));
        let cached_prompt = match (get(CountKind::Prompt), caches) {
            // This count includes cached tokens.
            (Some(_), _) => Some(0),
            (None, (None, None)) => None,
            (None, (created, read)) => {
                Some(created.unwrap_or_default().saturating_add(read.unwrap_or_default()))
            }
        };
        let completion = get(CountKind::Completion).or_else(|| get(CountKind::Output));
        let thoughts = get(CountKind::Thoughts);
        let (cached, reasoning, cache_write) = if known & CountSource::PARTS == 0 {
            (None, None, None)
        } else {
            (
                get(CountKind::CachedDetail).or_else(|| get(CountKind::Cached)),
                get(CountKind::ReasoningDetail).or_else(|| get(CountKind::Reasoning)),
                get(CountKind::CacheWriteDetail),
            )
        };
        let usage = PartialUsage {
            prompt: get(CountKind::Prompt).or_else(|| get(CountKind::Input)),
            cached_prompt,
            listed_prompt: get(CountKind::ListedPrompt),
            completion: completion
                .map(|completion| completion.saturating_add(thoughts.unwrap_or_default())),
            total: get(CountKind::Total),
            cached: cached.or(caches.1),
            cache_write: cache_write.or(caches.0),
            reasoning: reasoning.or(thoughts),
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
            cached: later.cached.or(self.cached),
            cache_write: later.cache_write.or(self.cache_write),
            reasoning: later.reasoning.or(self.reasoning),
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
            cached_tokens: self.cached,
            cache_write_tokens: self.cache_write,
            reasoning_tokens: self.reasoning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_share_no_place() {
        let mut next = 0;
        for source in CountSource::ALL {
            let (start, first, kinds) = source.slots();
            assert_eq!(start, next, "{source:?}");
            assert!(first as usize + kinds <= CountKind::ListedPrompt as usize + 1);
            assert_eq!(source.bits().count_ones() as usize, kinds);
            assert_eq!(source.bits().trailing_zeros() as usize, start);
            next = start + kinds;
        }
        assert_eq!(next, CountSource::SLOTS);
        use CountKind::{CacheWriteDetail, Cached, CachedDetail, Reasoning, ReasoningDetail};
        let parts = [CachedDetail, ReasoningDetail, CacheWriteDetail, Cached, Reasoning];
        let slots = CountSource::ALL.iter().flat_map(|source| parts.map(|kind| source.slot(kind)));
        let bits = slots.flatten().fold(0, |bits, slot| bits | 1 << slot);
        assert_eq!(bits, CountSource::PARTS);
    }
}
