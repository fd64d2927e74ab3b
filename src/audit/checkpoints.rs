use std::{fmt, sync::Arc, time::Duration};

use super::checkpoint::Checkpoint;

/// When the trail is signed, and who gets the signatures.
#[derive(Clone)]
pub struct Checkpoints {
    pub(super) max_records: u64,
    pub(super) max_age: Duration,
    pub(super) take: Option<Arc<Take>>,
}

/// The function that keeps a checkpoint.
type Take = dyn Fn(&Checkpoint) + Send + Sync;

impl Checkpoints {
    /// Creates settings for a checkpoint after 1,000 records or one minute.
    #[must_use]
    pub fn new() -> Self {
        Self { max_records: 1_000, max_age: Duration::from_secs(60), take: None }
    }

    /// Sets how many records a checkpoint covers at most. Defaults to 1,000.
    #[must_use]
    pub fn max_records(mut self, records: u64) -> Self {
        self.max_records = records.max(1);
        self
    }

    /// Sets the age of a record that is not signed. Defaults to one minute.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Passes each checkpoint to `take`, which keeps it in another place.
    ///
    /// The writer thread calls it once the checkpoint is durable, or written under
    /// [`Durability::System`](super::Durability::System). Records wait in the queue meanwhile. A panic of it is ignored.
    #[must_use]
    pub fn on_checkpoint(mut self, take: impl Fn(&Checkpoint) + Send + Sync + 'static) -> Self {
        self.take = Some(Arc::new(take));
        self
    }
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("max_records", &self.max_records)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
