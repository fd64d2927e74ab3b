use std::time::Duration;

use crate::{memory_limit::MemoryLimit, schema::compile::schema::Schema};

/// What answers must be, and what becomes of one that is not.
///
/// Looked at are answers of a 2xx status that say they are JSON in UTF-8. Others pass: errors,
/// event streams, what has no body (to HEAD, 204, 205) or a part of one (206).
#[derive(Clone, Debug)]
pub struct ResponseSchema {
    pub(crate) schema: Schema,
    pub(crate) enforcement: Enforcement,
    pub(crate) max_bytes: u64,
    pub(crate) timeout: Duration,
    pub(crate) memory: MemoryLimit,
}

/// What happens to a response that breaks its schema.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Enforcement {
    Report,
    Reject,
}

impl ResponseSchema {
    /// Lets every answer flow as it comes, and says in the log when it broke the schema.
    ///
    /// A copy is kept until its end. Nothing is said of an answer that fails, or that its reader
    /// leaves, before that.
    #[must_use]
    pub fn report(schema: Schema) -> Self {
        Self::of(schema, Enforcement::Report)
    }

    /// Holds the head of an answer back until all of its body is there, and refuses it with 502
    /// `invalid-upstream-response` if it breaks the schema. The log says how: the caller can do
    /// nothing about it.
    ///
    /// Ranges are not asked for: the request goes on without `range` and `if-range`. An answer that
    /// cannot be checked, because it is coded or longer than the limit, is refused as
    /// well. One that fails half-way is a 502 `upstream-unavailable`, one that takes too long a 504
    /// `upstream-timeout`.
    #[must_use]
    pub fn reject(schema: Schema) -> Self {
        Self::of(schema, Enforcement::Reject)
    }

    /// Sets how many bytes of an answer are kept at most: 10 MiB by default. A longer one is refused,
    /// or the log says that it was not checked.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the limit of memory that all responses share while they are kept: 256 MiB by default,
    /// for this value and its clones.
    ///
    /// Beyond it a response is refused with 503 `overloaded`, or the log says that it was not
    /// checked. A limit that is also given to others, such as
    /// [`PayloadLayer::memory_limit`](crate::payload::PayloadLayer::memory_limit), holds for all of
    /// them together.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory = limit;
        self
    }

    /// Sets how long a response may be held back, from when its body is first waited for. Defaults to
    /// five minutes, as the upstream's own deadlines do: a model that reasons sends its head, and then
    /// blank lines until it is done. Counts for [`refuse`](Self::reject) alone.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn must_be_whole(&self) -> bool {
        self.enforcement == Enforcement::Reject
    }

    fn of(schema: Schema, enforcement: Enforcement) -> Self {
        let (max_bytes, timeout) = (10 * 1024 * 1024, Duration::from_secs(5 * 60));
        let memory = MemoryLimit::new(256 * 1024 * 1024);
        Self { schema, enforcement, max_bytes, timeout, memory }
    }
}
