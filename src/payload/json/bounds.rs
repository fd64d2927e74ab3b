use super::parse::slot::SlotTag;

/// The maximum depth and the maximum number of values of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DocumentBounds {
    pub(crate) depth: u32,
    pub(crate) values: u32,
}

impl DocumentBounds {
    // Dropping a `serde_json::Value` of this depth fits on a thread's stack.
    const MAX_DEPTH: u32 = 1_024;

    /// Creates the default bounds: a depth of 128, as in `serde_json`, and as many values as the
    /// body has room for.
    #[must_use]
    pub const fn new() -> Self {
        Self { depth: 128, values: SlotTag::MAX_LEN }
    }

    /// Sets the maximum nesting depth of arrays and objects. Defaults to 128. The maximum is 1,024.
    #[must_use]
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.depth = if depth < Self::MAX_DEPTH { depth } else { Self::MAX_DEPTH };
        self
    }

    /// Sets the maximum number of values. Each value and each member name counts as one. Defaults
    /// to 268,435,455, which is also the maximum.
    ///
    /// A value takes 16 bytes of memory and at least two bytes of the body. The maximum size of a
    /// body therefore limits the values too. A body of 10 MiB such as `[0,0,0,…` has 5,242,880
    /// values. They take 84 MB, and 127 MB while the document is parsed. A [memory
    /// limit](crate::payload::PayloadLayer::memory_limit) counts the values of all bodies together.
    /// A request for embeddings with a million token ids has about 5 MB.
    #[must_use]
    pub const fn max_values(mut self, values: u32) -> Self {
        self.values = if values < SlotTag::MAX_LEN { values } else { SlotTag::MAX_LEN };
        self
    }
}

impl Default for DocumentBounds {
    fn default() -> Self {
        Self::new()
    }
}
