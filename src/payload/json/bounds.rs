use super::parse::slot::Tag;

/// How deep and how rich a document may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DocumentBounds {
    pub(crate) depth: u32,
    pub(crate) values: u32,
}

impl DocumentBounds {
    // What a thread's stack holds when a `serde_json::Value` of this depth is dropped.
    const MAX_DEPTH: u32 = 1_024;

    /// The defaults: a depth of 128, as `serde_json` and most peers have it, and as many nodes as
    /// the bytes hold.
    #[must_use]
    pub const fn new() -> Self {
        Self { depth: 128, values: Tag::MAX_LEN }
    }

    /// Sets how many arrays and objects may stand in one another: 128 by default, at most 1,024.
    #[must_use]
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.depth = if depth < Self::MAX_DEPTH { depth } else { Self::MAX_DEPTH };
        self
    }

    /// Sets how many nodes a document may have, each value and each name of a member being one.
    /// Defaults to 268,435,455, which is also the most.
    ///
    /// A node takes 16 bytes, whatever it is, and at least two bytes of the body. The bound in bytes
    /// so bounds the nodes too: a body such as `[0,0,0,…` of 10 MiB has 5,242,880 of them, which take
    /// 84 MB, and 127 MB while they grow. A [memory limit](super::PayloadLayer::memory_limit) counts
    /// them for all bodies together. Embeddings of token ids have a million in 5 MB.
    #[must_use]
    pub const fn max_values(mut self, values: u32) -> Self {
        self.values = if values < Tag::MAX_LEN { values } else { Tag::MAX_LEN };
        self
    }
}

impl Default for DocumentBounds {
    fn default() -> Self {
        Self::new()
    }
}
