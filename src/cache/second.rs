//! What is kept in a second place, too, and how it is found there, and forgotten.
//!
//! An answer has a record of its own; so has each tag, and all of them together: a random number,
//! its epoch. An answer is written with the epochs that it was begun in, and holds as long as they
//! are still there. So whoever invalidates a tag writes a new number, and all replicas find that the
//! answers of before are none; as they do where the number was lost. What could not be written yet
//! is remembered, and until it is, this replica finds nothing there that it concerns.

mod settings;

use std::{collections::BTreeMap, fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;

use super::{
    codec::{Epoch, Epochs, MOST_LIFE, Now, decode, encode, monotonic},
    control::Control,
    entry::{Entry, Origin},
    generation::Tag,
    key::{At, Key, Keys, Variant},
    seal::{Name, OVERHEAD, Purpose, Seal, key_secret, random},
    tier::{Leased, Tier, TierFuture},
};
use crate::{clock::SharedClock, lock::Lock};

pub use self::settings::SecondTier;

/// A [`SecondTier`] at work. Clones are the same.
#[derive(Clone)]
pub(super) struct Second(Arc<Shared>);

struct Shared {
    tier: Arc<dyn Tier>,
    seal: Seal,
    lease: Option<Duration>,
    forgotten: Lock<Forgotten>,
}

/// What is to be forgotten, and of which it is not known whether the tier has been told.
#[derive(Default)]
struct Forgotten {
    names: BTreeMap<Name, Telling>,
    next: u64,
}

struct Telling {
    purpose: Purpose,
    number: u64,
    /// `None` while someone polls it.
    told: Option<TierFuture<bool>>,
}

/// Of more, all is forgotten.
const MOST_FORGOTTEN: usize = 1_024;

/// So many more does each look that finds any tell of.
const OTHERS: usize = 8;

/// Between two looks for what another replica is about to bring.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is looked for.
pub(super) struct Search {
    pub(super) at: At,
    /// What the request says that it takes.
    pub(super) control: Control,
    /// Where it would come from if it were not there: who asks, and the generation from before.
    pub(super) asker: Origin,
    pub(super) clock: SharedClock,
}

/// What was found.
pub(super) enum Looked {
    Found(Entry),
    Nothing(Turn),
}

/// The turn to ask the upstream. Its drop lets others have theirs.
pub(super) struct Turn {
    /// What may stand in for an error.
    pub(super) fallback: Option<Entry>,
    second: Second,
    clock: SharedClock,
    name: Name,
    /// Those from before the request goes upstream.
    epochs: Option<Epochs>,
    holder: Option<[u8; 16]>,
}

// === impl Second ===

impl Second {
    pub(super) fn new(settings: &SecondTier) -> Self {
        let SecondTier { tier, secret, encrypted, lease } = settings;
        Self(Arc::new(Shared {
            tier: Arc::clone(tier),
            seal: Seal::new(secret, *encrypted),
            lease: lease.filter(|lease| !lease.is_zero()),
            forgotten: Lock::default(),
        }))
    }

    /// The keys that all replicas make alike.
    pub(super) fn keys(settings: &SecondTier) -> Keys {
        Keys::new(&*key_secret(&settings.secret))
    }

    /// Looks for an answer, and where another replica is about to bring it, waits for it.
    pub(super) fn look(&self, search: Search) -> TierFuture<Looked> {
        let second = self.clone();
        Box::pin(async move { second.looked(&search).await })
    }

    /// Forgets an answer in all its variants.
    pub(super) fn forget(&self, key: Key) {
        for variant in Variant::ALL {
            self.0.forget(self.0.seal.entry((key, variant)), Purpose::Entry);
        }
    }

    /// Forgets all answers of a tag; without one, all.
    pub(super) fn forget_all(&self, tag: Option<Tag>) {
        self.0.forget(self.0.seal.epoch(tag), Purpose::Epoch);
    }

    async fn looked(self, search: &Search) -> Looked {
        let shared = &self.0;
        let name = shared.seal.entry(search.at);
        let mut turn = Turn {
            fallback: None,
            second: self.clone(),
            clock: search.clock.clone(),
            name,
            epochs: None,
            holder: None,
        };
        if let Some(entry) = turn.read(search).await {
            return Looked::Found(entry);
        }
        // Whoever takes nothing that is kept does not wait for it either.
        let lease = shared.lease.filter(|_| !search.control.no_cache);
        let Some((lease, holder)) = lease.zip(random()) else {
            return Looked::Nothing(turn);
        };
        // From now on, so that what is won and not waited for is given back as well.
        turn.holder = Some(holder);
        let looks = lease.as_millis().div_ceil(BETWEEN_LOOKS.as_millis());
        for _ in 0..looks {
            let leased = shared.tier.lease(name, holder, lease).await;
            if leased == Leased::Taken {
                sleep(BETWEEN_LOOKS.min(lease)).await;
            }
            // Also of one who has won: who had it before may have brought it since.
            if let Some(entry) = turn.read(search).await {
                return Looked::Found(entry);
            }
            if leased == Leased::Won {
                return Looked::Nothing(turn);
            }
        }
        Looked::Nothing(turn)
    }
}

impl fmt::Debug for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Second").field(&self.0.tier).finish()
    }
}

// === impl Shared ===

impl Shared {
    /// What is there, if it holds; and the epochs, if they are known.
    async fn read(&self, name: &Name, search: &Search) -> (Option<Entry>, Option<Epochs>) {
        let tags = &*search.asker.start.tags;
        let forgotten = self.is_forgotten(name, tags).await;
        let wanted: Vec<_> = [None].into_iter().chain(tags.iter().copied().map(Some)).collect();
        // All at once: one after the other they would take as many times as long.
        let epochs = wanted.iter().map(|tag| self.tier.get(self.seal.epoch(*tag)));
        let mut told = together([self.tier.get(*name)].into_iter().chain(epochs)).await.into_iter();
        let value = told.next().flatten();
        let known = wanted.iter().zip(told).map(|(tag, told)| self.opened(*tag, told)).collect();
        let epochs = self.epochs(wanted, known).await;
        let found = match (value, &epochs) {
            (Some(value), Some(epochs)) if !forgotten => {
                self.found(name, value, epochs, search).await
            }
            _ => None,
        };
        (found, epochs)
    }

    async fn found(
        &self,
        name: &Name,
        value: Bytes,
        known: &Epochs,
        search: &Search,
    ) -> Option<Entry> {
        if value.len() > self.tier.value_limit() {
            return None;
        }
        let body = self.seal.open(Purpose::Entry, name, value)?;
        let (entry, epochs) = decode(body, Now::of(&search.clock), &search.asker)?;
        // By another route, the same answer may have had other tags.
        let unknown = epochs.iter().filter(|(tag, _)| known.iter().all(|(other, _)| other != tag));
        let unknown: Vec<_> = unknown.map(|(tag, _)| *tag).collect();
        let tags: Vec<_> = unknown.iter().copied().flatten().collect();
        if !unknown.is_empty() && self.is_forgotten(name, &tags).await {
            return None;
        }
        let told = together(unknown.iter().map(|tag| self.tier.get(self.seal.epoch(*tag)))).await;
        let others = unknown.into_iter().zip(told);
        let others: Option<Epochs> =
            others.map(|(tag, told)| Some((tag, self.opened(tag, told)?))).collect();
        let others = others?;
        let holds = |(tag, epoch): &(Option<Tag>, Epoch)| {
            let mut all = known.iter().chain(&others);
            all.any(|(other, now)| other == tag && now == epoch)
        };
        // All of them, whatever its tags.
        let has_all = epochs.iter().any(|(tag, _)| tag.is_none());
        (has_all && epochs.iter().all(holds)).then_some(entry)
    }

    /// What is known, and new ones where there are none.
    async fn epochs(&self, tags: Vec<Option<Tag>>, known: Vec<Option<Epoch>>) -> Option<Epochs> {
        let missing = tags.iter().zip(&known).filter(|(_, known)| known.is_none());
        let missing: Vec<_> = missing.map(|(tag, _)| *tag).collect();
        let mut made = Vec::new();
        if !missing.is_empty() {
            let mut put = Vec::new();
            for tag in &missing {
                let (name, epoch) = (self.seal.epoch(*tag), random()?);
                let sealed = self.seal.seal(Purpose::Epoch, &name, &epoch)?;
                put.push(self.tier.put_new(name, sealed, MOST_LIFE));
                made.push(Some(epoch));
            }
            let put = together(put.into_iter()).await;
            // Another one may have been quicker.
            for ((tag, made), put) in missing.iter().zip(&mut made).zip(put) {
                if !put {
                    let told = self.tier.get(self.seal.epoch(*tag)).await;
                    *made = self.opened(*tag, told);
                }
            }
        }
        let mut made = made.into_iter();
        let both = known.into_iter().map(|known| known.or_else(|| made.next().flatten()));
        tags.into_iter().zip(both).map(|(tag, epoch)| Some((tag, epoch?))).collect()
    }

    fn opened(&self, tag: Option<Tag>, told: Option<Bytes>) -> Option<Epoch> {
        let (name, told) = (self.seal.epoch(tag), told?);
        let epoch = self.seal.open(Purpose::Epoch, &name, told);
        let epoch = epoch.and_then(|epoch| epoch[..].try_into().ok());
        if epoch.is_none() {
            // Spoilt, which it would stay. Nothing is there for the next who looks.
            drop(self.tier.remove(name));
        }
        epoch
    }

    fn forget(&self, name: Name, purpose: Purpose) {
        let told = self.tell(&name, purpose);
        let mut forgotten = self.forgotten.lock();
        let full = forgotten.names.len() >= MOST_FORGOTTEN && !forgotten.names.contains_key(&name);
        // What goes is dropped after the lock.
        let gone = full.then(|| std::mem::take(&mut forgotten.names));
        let before = forgotten.put(name, purpose, told);
        drop(forgotten);
        drop((gone, before));
        if full {
            self.forget(self.seal.epoch(None), Purpose::Epoch);
        }
    }

    fn tell(&self, name: &Name, purpose: Purpose) -> Option<TierFuture<bool>> {
        match purpose {
            Purpose::Entry => Some(self.tier.remove(*name)),
            Purpose::Epoch => {
                let sealed = self.seal.seal(purpose, name, &random::<16>()?)?;
                Some(self.tier.put(*name, sealed, MOST_LIFE))
            }
        }
    }

    /// Whether something is to be forgotten, and the tier has not yet said that it is. Does not wait
    /// for it, and tells it again if that came to nothing.
    async fn is_forgotten(&self, name: &Name, tags: &[Tag]) -> bool {
        let others: Vec<_> = {
            let forgotten = self.forgotten.lock();
            let names = &forgotten.names;
            let all = names.range(*name..).chain(names.range(..*name));
            all.map(|(name, _)| *name).take(OTHERS).collect()
        };
        if others.is_empty() {
            return false;
        }
        let epochs = [None].into_iter().chain(tags.iter().copied().map(Some));
        let mut any = false;
        for name in epochs.map(|tag| self.seal.epoch(tag)).chain([*name]) {
            any |= self.is_untold(&name).await;
        }
        // Nobody may ever look for these, and other replicas do.
        for name in others {
            let _of_others = self.is_untold(&name).await;
        }
        any
    }

    async fn is_untold(&self, name: &Name) -> bool {
        let (purpose, number, told) = match self.forgotten.lock().names.get_mut(name) {
            Some(telling) => (telling.purpose, telling.number, telling.told.take()),
            None => return false,
        };
        let Some(mut told) = told else { return true };
        // Ready at once: nobody can leave with it.
        let polled = poll_fn(|cx| Poll::Ready(told.as_mut().poll(cx))).await;
        let told = match polled {
            Poll::Pending => Some(told),
            Poll::Ready(true) => None,
            Poll::Ready(false) => self.tell(name, purpose),
        };
        let mut forgotten = self.forgotten.lock();
        // It may have been forgotten once more meanwhile.
        let same = forgotten.names.get(name).is_some_and(|telling| telling.number == number);
        let before = match (polled, same) {
            (Poll::Ready(true), true) => forgotten.names.remove(name).and_then(|gone| gone.told),
            (_, true) => forgotten.put(*name, purpose, told),
            (_, false) => told,
        };
        drop(forgotten);
        drop(before);
        !(same && polled == Poll::Ready(true))
    }
}

impl Forgotten {
    #[must_use = "to be dropped after the lock"]
    fn put(
        &mut self,
        name: Name,
        purpose: Purpose,
        told: Option<TierFuture<bool>>,
    ) -> Option<TierFuture<bool>> {
        self.next += 1;
        let telling = Telling { purpose, number: self.next, told };
        self.names.insert(name, telling).and_then(|before| before.told)
    }
}

// === impl Turn ===

impl Turn {
    /// What the request takes of what is there now.
    async fn read(&mut self, search: &Search) -> Option<Entry> {
        let (found, epochs) = self.second.0.read(&self.name, search).await;
        self.epochs = epochs;
        let entry = found?;
        if search.control.takes(&entry, monotonic(&self.clock)) {
            return Some(entry);
        }
        self.fallback = search.control.takes_stale().then_some(entry);
        None
    }

    /// Brings the answer to the tier.
    pub(super) fn keep(self, entry: &Entry) {
        let Some(epochs) = &self.epochs else { return };
        let Shared { tier, seal, .. } = &*self.second.0;
        let now = Now::of(&self.clock);
        let most = tier.value_limit().saturating_sub(OVERHEAD);
        let body = encode(entry, epochs, now, most);
        let sealed = body.and_then(|body| seal.seal(Purpose::Entry, &self.name, &body));
        if let Some(sealed) = sealed {
            let ttl = entry.times.kept_until.saturating_sub(now.monotonic).min(MOST_LIFE);
            drop(tier.put(self.name, sealed, ttl));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(holder) = self.holder {
            self.second.0.tier.release(self.name, holder);
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("leased", &self.holder.is_some()).finish_non_exhaustive()
    }
}

/// What all of them say.
async fn together<T>(futures: impl Iterator<Item = TierFuture<T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (future, None)).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, said) in waiting.iter_mut().filter(|(_, said)| said.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => *said = Some(value),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().filter_map(|(_, said)| said).collect()
}

#[cfg(test)]
mod tests;
