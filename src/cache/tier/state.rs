//! The records of the second tier, and their invalidation.
//!
//! Each entry has a record. Each tag has a record as well, and all entries together have one more:
//! a random number, the epoch. An entry is written with its epochs from before the call. It is valid
//! while the tier has the same epochs. To invalidate a tag, a replica writes a new number. All
//! replicas then ignore the entries from before. A lost number has the same effect. A replica
//! remembers an invalidation until the tier has confirmed it, and finds no entry that it concerns
//! until then.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

use super::{
    codec::{Clocks, Epoch, Epochs, MAX_LIFE, decode},
    pending::PendingInvalidations,
    seal::{Purpose, RecordName, Seal, random},
    second_tier::SecondTier,
    tier::{Tier, TierFuture},
};
use crate::{
    cache::{
        entry::{Entry, Origin},
        key::Tag,
    },
    clock::SharedClock,
    lock::Lock,
};

pub(super) struct TierState {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) seal: Seal,
    pub(super) lease_timeout: Option<Duration>,
    pub(super) pending: Lock<PendingInvalidations>,
}

/// The maximum number of unconfirmed invalidations. One more invalidates everything.
pub(super) const MAX_PENDING: usize = 1_024;

/// The number of other pending invalidations that a lookup checks.
const MAX_OTHERS: usize = 8;

impl TierState {
    pub(super) fn new(settings: &SecondTier) -> Self {
        let SecondTier { tier, secret, encrypted, lease_timeout } = settings;
        Self {
            tier: Arc::clone(tier),
            seal: Seal::new(secret, *encrypted),
            lease_timeout: lease_timeout.filter(|timeout| !timeout.is_zero()),
            pending: Lock::default(),
        }
    }

    /// Returns the entry if it is valid, and the epochs if they are known.
    pub(super) async fn read(
        &self,
        name: &RecordName,
        origin: &Origin,
        clock: &SharedClock,
    ) -> (Option<Entry>, Option<Epochs>) {
        let tags = &*origin.validity.tags;
        let invalidated = self.is_invalidated(name, tags).await;
        let wanted: Vec<_> = [None].into_iter().chain(tags.iter().copied().map(Some)).collect();
        // All records together take one round trip.
        let epochs = wanted.iter().map(|tag| self.tier.get(self.seal.epoch_name(*tag)));
        let mut values =
            join_all([self.tier.get(*name)].into_iter().chain(epochs)).await.into_iter();
        let value = values.next().flatten();
        let known = wanted.iter().zip(values).map(|(tag, value)| self.open(*tag, value)).collect();
        let epochs = self.known_or_new(wanted, known).await;
        let found = match (value, &epochs) {
            (Some(value), Some(epochs)) if !invalidated => {
                self.valid_entry(name, value, epochs, origin, clock).await
            }
            _ => None,
        };
        (found, epochs)
    }

    /// Opens the value of an entry and checks all its epochs.
    async fn valid_entry(
        &self,
        name: &RecordName,
        value: Bytes,
        known: &Epochs,
        origin: &Origin,
        clock: &SharedClock,
    ) -> Option<Entry> {
        if value.len() > self.tier.max_value_bytes() {
            return None;
        }
        let body = self.seal.open(Purpose::Entry, name, value)?;
        let (entry, epochs) = decode(body, Clocks::now(clock), origin)?;
        // A request on another route may have stored the response with other tags.
        let unknown = epochs.iter().filter(|(tag, _)| known.iter().all(|(other, _)| other != tag));
        let unknown: Vec<_> = unknown.map(|(tag, _)| *tag).collect();
        let tags: Vec<_> = unknown.iter().copied().flatten().collect();
        if !unknown.is_empty() && self.is_invalidated(name, &tags).await {
            return None;
        }
        let values = unknown.iter().map(|tag| self.tier.get(self.seal.epoch_name(*tag)));
        let values = join_all(values).await;
        let others = unknown.into_iter().zip(values);
        let others: Option<Epochs> =
            others.map(|(tag, value)| Some((tag, self.open(tag, value)?))).collect();
        let others = others?;
        let is_current = |(tag, epoch): &(Option<Tag>, Epoch)| {
            let mut all = known.iter().chain(&others);
            all.any(|(other, current)| other == tag && current == epoch)
        };
        // The epoch of all entries must be among them.
        let has_all = epochs.iter().any(|(tag, _)| tag.is_none());
        (has_all && epochs.iter().all(is_current)).then_some(entry)
    }

    /// Returns the known epochs and creates the missing ones.
    async fn known_or_new(
        &self,
        tags: Vec<Option<Tag>>,
        known: Vec<Option<Epoch>>,
    ) -> Option<Epochs> {
        let missing = tags.iter().zip(&known).filter(|(_, known)| known.is_none());
        let missing: Vec<_> = missing.map(|(tag, _)| *tag).collect();
        let mut created = Vec::new();
        if !missing.is_empty() {
            let mut puts = Vec::new();
            for tag in &missing {
                let (name, epoch) = (self.seal.epoch_name(*tag), random()?);
                let sealed = self.seal.seal(Purpose::Epoch, &name, &epoch)?;
                puts.push(self.tier.put_new(name, sealed, MAX_LIFE));
                created.push(Some(epoch));
            }
            let puts = join_all(puts.into_iter()).await;
            // Another replica may have created the epoch first.
            for ((tag, created), put) in missing.iter().zip(&mut created).zip(puts) {
                if !put {
                    let value = self.tier.get(self.seal.epoch_name(*tag)).await;
                    *created = self.open(*tag, value);
                }
            }
        }
        let mut created = created.into_iter();
        let all = known.into_iter().map(|known| known.or_else(|| created.next().flatten()));
        tags.into_iter().zip(all).map(|(tag, epoch)| Some((tag, epoch?))).collect()
    }

    /// Opens the value of an epoch.
    fn open(&self, tag: Option<Tag>, value: Option<Bytes>) -> Option<Epoch> {
        let (name, value) = (self.seal.epoch_name(tag), value?);
        let epoch = self.seal.open(Purpose::Epoch, &name, value);
        let epoch = epoch.and_then(|epoch| epoch[..].try_into().ok());
        if epoch.is_none() {
            // A corrupt value would stay. The next lookup creates a new one.
            drop(self.tier.remove(name));
        }
        epoch
    }

    // === Invalidation ===

    pub(super) fn invalidate(&self, name: RecordName, purpose: Purpose) {
        let written = self.write_invalidation(&name, purpose);
        let mut pending = self.pending.lock();
        let full = pending.len() >= MAX_PENDING && !pending.contains(&name);
        // Dropped after the lock.
        let removed = full.then(|| pending.take());
        let replaced = pending.insert(name, purpose, written);
        drop(pending);
        drop((removed, replaced));
        if full {
            self.invalidate(self.seal.epoch_name(None), Purpose::Epoch);
        }
    }

    fn write_invalidation(&self, name: &RecordName, purpose: Purpose) -> Option<TierFuture<bool>> {
        match purpose {
            Purpose::Entry => Some(self.tier.remove(*name)),
            Purpose::Epoch => {
                let sealed = self.seal.seal(purpose, name, &random::<16>()?)?;
                Some(self.tier.put(*name, sealed, MAX_LIFE))
            }
        }
    }

    /// Returns whether a pending invalidation concerns an entry. Does not wait for the tier. Repeats
    /// failed invalidations.
    async fn is_invalidated(&self, name: &RecordName, tags: &[Tag]) -> bool {
        let others = self.pending.lock().names_from(name, MAX_OTHERS);
        if others.is_empty() {
            return false;
        }
        let epochs = [None].into_iter().chain(tags.iter().copied().map(Some));
        let mut invalidated = false;
        for name in epochs.map(|tag| self.seal.epoch_name(tag)).chain([*name]) {
            invalidated |= self.is_pending(&name).await;
        }
        // This replica may never look for the others again, but another replica does.
        for name in others {
            let _of_others = self.is_pending(&name).await;
        }
        invalidated
    }

    async fn is_pending(&self, name: &RecordName) -> bool {
        let Some((purpose, number, written)) = self.pending.lock().start_poll(name) else {
            return false;
        };
        let Some(mut written) = written else { return true };
        // Ready at once, so that the future cannot be lost with this one.
        let polled = poll_fn(|cx| Poll::Ready(written.as_mut().poll(cx))).await;
        let written = match polled {
            Poll::Pending => Some(written),
            Poll::Ready(true) => None,
            Poll::Ready(false) => self.write_invalidation(name, purpose),
        };
        let mut pending = self.pending.lock();
        // The name may have been invalidated again meanwhile.
        let same = pending.number(name) == Some(number);
        let replaced = match (polled, same) {
            (Poll::Ready(true), true) => pending.remove(name),
            (_, true) => pending.insert(*name, purpose, written),
            (_, false) => written,
        };
        drop(pending);
        drop(replaced);
        !(same && polled == Poll::Ready(true))
    }
}

/// Polls all futures until each one is ready.
async fn join_all<T>(futures: impl Iterator<Item = TierFuture<T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (future, None)).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
