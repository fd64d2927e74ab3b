use std::{collections::VecDeque, time::Duration};

use tokio::{sync::Notify, time::timeout};

use crate::{limits::store::permit::Settlement, lock::Lock};

/// The most settlements that wait for the server.
const MAX_QUEUED: usize = 65_536;
/// The settlements of one call.
pub(super) const BATCH: usize = 128;

/// Settlements that the server does not have yet.
#[derive(Default)]
pub(super) struct SettlementQueue {
    settlements: Lock<VecDeque<Settlement>>,
    changed: Notify,
}

impl SettlementQueue {
    /// Adds a settlement. Returns `false` where the queue is full.
    pub(super) fn push(&self, settlement: Settlement) -> bool {
        let mut settlements = self.settlements.lock();
        let has_room = settlements.len() < MAX_QUEUED;
        if has_room {
            settlements.push_back(settlement);
        }
        has_room
    }

    /// Adds settlements while there is room. Returns how many were lost.
    pub(super) fn extend(&self, new: Vec<Settlement>) -> usize {
        let mut settlements = self.settlements.lock();
        let room = MAX_QUEUED.saturating_sub(settlements.len());
        let lost = new.len().saturating_sub(room);
        settlements.extend(new.into_iter().take(room));
        lost
    }

    pub(super) fn next_batch(&self) -> Option<Vec<Settlement>> {
        let mut settlements = self.settlements.lock();
        let count = settlements.len().min(BATCH);
        (count > 0).then(|| settlements.drain(..count).collect())
    }

    /// Puts a batch back in front.
    pub(super) fn put_back(&self, batch: Vec<Settlement>) {
        let mut settlements = self.settlements.lock();
        for settlement in batch.into_iter().rev() {
            settlements.push_front(settlement);
        }
    }

    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) async fn changed_within(&self, time: Duration) {
        let _in_time = timeout(time, self.changed.notified()).await;
    }

    pub(super) fn len(&self) -> usize {
        self.settlements.lock().len()
    }
}
