use std::{fmt, sync::Arc};

use http::Method;

use super::{key::AuditPublicKey, queue::RecordQueue, render};
use crate::{
    model::known_routes,
    record::{Needs, Record, RecordSink},
    rejection::Refusal,
};

/// An audit trail that is open: a [`RecordSink`] for
/// [`AccessLogLayer::and`](crate::access_log::AccessLogLayer::and).
///
/// Records go into a bounded queue, and a thread of the log writes them. Clones are the same log. The layers
/// and their requests have clones too. Dropping the last one [closes](Self::close) the log, which may block
/// the thread that drops it. A program that ends, or replaces its layers while it serves, calls `close` itself.
#[derive(Clone)]
pub struct AuditLog {
    handle: Arc<Handle>,
}

impl AuditLog {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle) }
    }

    /// Returns the key that verifies the checkpoints.
    #[must_use]
    pub fn public_key(&self) -> AuditPublicKey {
        self.handle.key
    }

    /// Returns how many records are queued and not written.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.handle.queue.lag()
    }

    /// Returns how many records were lost. The trail states each loss as a gap.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        self.handle.queue.lost()
    }

    /// Returns whether the last write succeeded. After a failure the log tries again each second.
    ///
    /// Ask it where the program reports that it is ready, because requests are rejected meanwhile.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.handle.queue.is_writable()
    }

    /// Waits until the records that are queued are durable. Returns false when they
    /// are not within [`AuditFile::drain_timeout`](super::AuditFile::drain_timeout). It blocks the
    /// thread, so do not call it in a task.
    #[must_use]
    pub fn flush(&self) -> bool {
        self.handle.queue.flush()
    }

    /// Writes and signs what is queued and ends the trail, whatever clones are left. Requests that come
    /// later are rejected as in an outage.
    ///
    /// Returns false when not all was durable within
    /// [`AuditFile::drain_timeout`](super::AuditFile::drain_timeout). It blocks the thread, so do not call it
    /// in a task that others wait for.
    #[must_use]
    pub fn close(&self) -> bool {
        self.handle.queue.close()
    }
}

impl RecordSink for AuditLog {
    fn needs(&self) -> Needs {
        Needs { prompt_digest: true, ..Needs::NONE }
    }

    fn accepts_requests(&self) -> bool {
        self.handle.queue.accepts_requests()
    }

    fn arrived(&self) {
        self.handle.queue.arrive();
    }

    fn record(&self, record: &Record<'_>) {
        let queue = &self.handle.queue;
        // Counted among those in flight until here.
        let accepts = queue.accepts_requests();
        queue.leave();
        if self.handle.skips_listings && is_served_listing(record) {
            return;
        }
        let unaudited = Refusal::AuditUnavailable.slug();
        if record.refusal() == Some(unaudited) && !accepts {
            // A flood of such rejections must not fill the queue.
            queue.turn_away(record.time());
        } else {
            render::members(record, |members| queue.push(members, record.time()));
        }
    }
}

fn is_served_listing(record: &Record<'_>) -> bool {
    let is_listing = record.route() == Some(known_routes::MODELS)
        || record.route().is_none() && record.path() == known_routes::MODELS;
    let reads = [Method::GET.as_str(), Method::HEAD.as_str()].contains(&record.method());
    is_listing && reads && record.refusal().is_none()
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("public_key", &self.public_key())
            .field("lag", &self.lag())
            .field("lost_records", &self.lost_records())
            .finish_non_exhaustive()
    }
}

/// Closes the queue when the last clone of a log is dropped.
pub(super) struct Handle {
    pub(super) queue: Arc<RecordQueue>,
    pub(super) key: AuditPublicKey,
    pub(super) skips_listings: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}
