use std::time::Duration;

use crate::{memory_limit::MemoryLimit, schema::compile::schema::Schema};

/// A schema for responses and the treatment of invalid ones.
///
/// Only 2xx responses with a JSON type in UTF-8 are checked. Errors, event streams, responses
/// without a body (HEAD, 204, 205) and partial ones (206) pass.
#[derive(Clone, Debug)]
pub struct ResponseSchema {
    pub(crate) schema: Schema,
    pub(crate) enforcement: Enforcement,
    pub(crate) max_bytes: u64,
    pub(crate) timeout: Duration,
    pub(crate) memory: MemoryLimit,
}

/// The treatment of a response that violates its schema.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Enforcement {
    Report,
    Reject,
}

impl ResponseSchema {
    /// Streams every response and logs a violation of the schema.
    ///
    /// A copy is kept until the end. Nothing is logged if the response fails or is dropped earlier.
    #[must_use]
    pub fn report(schema: Schema) -> Self {
        Self::of(schema, Enforcement::Report)
    }

    /// Holds every response back until it was checked. An invalid response is rejected with 502
    /// `invalid-upstream-response`. The log names the violations, because the client cannot fix
    /// them.
    ///
    /// The headers `range` and `if-range` are removed from the request. A response that has a
    /// content coding or exceeds the limit cannot be checked and is rejected too. A response that
    /// fails midway becomes 502 `upstream-unavailable`. A response that exceeds the timeout becomes
    /// 504 `upstream-timeout`.
    #[must_use]
    pub fn reject(schema: Schema) -> Self {
        Self::of(schema, Enforcement::Reject)
    }

    /// Sets the maximum size in bytes of a response that is checked. Defaults to 10 MiB. A larger
    /// response is rejected, or the log tells that it was not checked.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the memory limit that all checked responses share. Defaults to 256 MiB for this value
    /// and its clones.
    ///
    /// A response without room is rejected with 503 `overloaded`, or the log tells that it was not
    /// checked. Several layers can share one limit, such as that of
    /// [`PayloadLayer::memory_limit`](crate::payload::PayloadLayer::memory_limit).
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory = limit;
        self
    }

    /// Sets the time in which the body of a held response must arrive. Defaults to 5 minutes, as
    /// the upstream's own timeouts do.
    ///
    /// The time starts when the body is first polled. A reasoning model may send its head early and
    /// then blank lines until it is done. Only [`reject`](Self::reject) uses this timeout.
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
