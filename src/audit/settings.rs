use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use super::{
    checkpoints::Checkpoints,
    durability::Durability,
    error::{AuditError, AuditFault},
    key::AuditKey,
    log::{AuditLog, Handle},
    queue::{QueueLimits, RecordQueue, StopGuard},
    start::start,
    writer::{Rules, Writer},
};
use crate::clock::SharedClock;

/// The file of an audit trail and the key that signs it. [`AuditFile::open`] makes the
/// [`AuditLog`]. The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct AuditFile {
    path: PathBuf,
    key: AuditKey,
    durability: Durability,
    checkpoints: Checkpoints,
    max_file_bytes: u64,
    max_records: usize,
    max_bytes: usize,
    drain_timeout: Duration,
    serves_unaudited: bool,
    skips_listings: bool,
    clock: SharedClock,
}

impl AuditFile {
    /// Creates the settings of the trail at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, key: AuditKey) -> Self {
        Self {
            path: path.into(),
            key,
            durability: Durability::default(),
            checkpoints: Checkpoints::default(),
            max_file_bytes: 1 << 30,
            max_records: 16_384,
            max_bytes: 16 << 20,
            drain_timeout: Duration::from_secs(5),
            serves_unaudited: false,
            skips_listings: false,
            clock: SharedClock::default(),
        }
    }

    /// Sets when records are made durable. Defaults to an interval of one second.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets when the trail is signed. Defaults to [`Checkpoints::new`].
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Sets the size at which the file is rotated. Defaults to 1 GiB.
    ///
    /// A file exceeds it by one record and one checkpoint at most. The earlier files are `FILE.000001`,
    /// `FILE.000002` and so on. The log never deletes one. No other program may rename the file.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Sets how many requests may be in flight or have a record that is not written. Defaults to
    /// 16,384. Beyond it requests are rejected with `audit-unavailable` (503).
    #[must_use]
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// Sets how many bytes of records may wait to be written. Defaults to 16 MiB. Requests are
    /// rejected from half of it, so that those in flight find room. A record that finds none is lost, and
    /// the trail states it. Twice as many bytes again may be in the write at the same time.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long [`AuditLog::flush`] and [`AuditLog::close`] wait. Defaults to 5 seconds.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Serves requests whose records cannot be written.
    ///
    /// By default they are rejected with `audit-unavailable` (503). In both cases the trail states the
    /// gap once it can be written again.
    #[must_use]
    pub fn dangerous_serve_unaudited(mut self) -> Self {
        self.serves_unaudited = true;
        self
    }

    /// Leaves out listings of models (`GET /v1/models`) that were served. Rejected listings are
    /// recorded.
    #[must_use]
    pub fn skip_model_listings(mut self) -> Self {
        self.skips_listings = true;
        self
    }

    /// Sets the clock. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the trail, or continues it, and starts the thread that writes it.
    ///
    /// The end of a trail whose process was killed in the middle of a write is kept in a file
    /// `FILE.torn-N` and stated in the trail. The trail is signed as it was found.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or written, if it is a symbolic link or no regular file,
    /// if another process writes it, if later files of the trail are beside it, if its end has no intact
    /// record or if the system cannot start a thread.
    pub fn open(self) -> Result<AuditLog, AuditError> {
        let started = start(&self.path, &self.key, self.clock.wall())?;
        let queue = Arc::new(RecordQueue::new(QueueLimits {
            max_records: self.max_records,
            max_bytes: self.max_bytes,
            drain_timeout: self.drain_timeout,
            serves_unaudited: self.serves_unaudited,
            immediate: self.durability == Durability::EachRecord,
        }));
        let rules = Rules {
            path: self.path.clone(),
            key: self.key.clone(),
            durability: self.durability,
            checkpoints: self.checkpoints,
            max_file_bytes: self.max_file_bytes,
            clock: self.clock,
        };
        // Dropped last, after the file has closed.
        let guard = StopGuard { queue: Arc::clone(&queue) };
        let writer = Writer::new(started, rules, Arc::clone(&queue));
        let body = move || {
            let _guard = guard;
            writer.run();
        };
        thread::Builder::new().name("audit-log".to_owned()).spawn(body).map_err(|error| {
            AuditError::at(AuditFault::Thread(error.kind()), self.path.display())
        })?;
        let handle =
            Handle { queue, key: self.key.public_key(), skips_listings: self.skips_listings };
        Ok(AuditLog::new(handle))
    }
}
