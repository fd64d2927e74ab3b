use super::parse::slot::Tag;

/// How deep and how rich a document may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    pub(crate) depth: u32,
    pub(crate) nodes: u32,
}

impl Bounds {
    // What a thread's stack holds when a `serde_json::Value` of this depth is dropped.
    const MAX_DEPTH: u32 = 1_024;

    /// The defaults: a depth of 128, as `serde_json` and most peers have it, and as many nodes as
    /// the bytes hold.
    #[must_use]
    pub const fn new() -> Self {
        Self { depth: 128, nodes: Tag::MAX_LEN }
    }

    /// Sets how many arrays and objects may stand in one another: 128 by default, at most 1,024.
    #[must_use]
    pub const fn depth(mut self, depth: u32) -> Self {
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
    pub const fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = if nodes < Tag::MAX_LEN { nodes } else { Tag::MAX_LEN };
        self
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new()
    }
}
