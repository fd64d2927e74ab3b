/// The bounds of the entries that a [cache](crate::cache) stores in memory.
///
/// ```
/// use tower_inference::cache::{CacheLayer, MemoryTier, Scope};
///
/// let memory = MemoryTier::new().max_bytes(1 << 30).max_entry_bytes(4 << 20);
/// let layer = CacheLayer::new("router", Scope::Identity).memory(memory);
/// assert_eq!(layer.bytes(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct MemoryTier {
    pub(crate) max_bytes: u64,
    pub(crate) max_entry_bytes: u64,
    pub(crate) compress_above: Option<usize>,
}

const MIB: u64 = 1 << 20;

impl MemoryTier {
    /// Creates the default bounds.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_bytes: 64 * MIB, max_entry_bytes: MIB, compress_above: None }
    }

    /// Sets the maximum memory of all entries, in bytes. Defaults to 64 MiB.
    ///
    /// The slots of the entries in the tables count as well. The least used entries are evicted.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum body of a stored response, in bytes. Defaults to 1 MiB, the limit of API
    /// Gateway.
    ///
    /// Each chunk counts 32 bytes more. A larger response in flight can no longer be joined, and
    /// neither tier stores it.
    #[must_use]
    pub const fn max_entry_bytes(mut self, bytes: u64) -> Self {
        self.max_entry_bytes = bytes;
        self
    }

    /// Compresses bodies of more than `bytes` bytes with zstd. By default none is compressed.
    ///
    /// A body stays uncompressed if compression saves less than an eighth. The reader of the
    /// response's end compresses it. Each hit decompresses it as a whole and replays its original
    /// chunks. Both occupy the thread meanwhile.
    #[cfg(feature = "cache-compression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache-compression")))]
    #[must_use]
    pub const fn compress_above(mut self, bytes: usize) -> Self {
        self.compress_above = Some(bytes);
        self
    }

    #[cfg(not(feature = "cache-compression"))]
    #[doc(hidden)]
    #[must_use]
    pub fn compress_above(self, _bytes: usize) -> Self
    where
        for<'a> &'a Self: crate::missing_feature::CacheCompression,
    {
        self
    }
}

impl Default for MemoryTier {
    fn default() -> Self {
        Self::new()
    }
}
