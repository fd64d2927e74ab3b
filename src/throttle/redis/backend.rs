//! The shared store: leases first, then the server, and what was chosen for when it is away.

use std::{collections::VecDeque, fmt, sync::Arc};

use aws_lc_rs::digest;
use redis::ScriptInvocation;
use smallvec::SmallVec;
use tokio::{sync::Notify, time::timeout};

use super::{
    RedisCounts, WhenAway,
    counts::{Counters, count},
    lease::{LIFE, Leases},
    own::{Counted, Floor, Own},
    script::{self, AllTold, Counter},
    settings::RedisStore,
};
use crate::{
    lock::Lock,
    redis_link::{Away, Bounds, Link, Task},
    throttle::{
        MemoryStore,
        allowance::{Allowance, Kind},
        ask::{Ask, Asks, Decision, Settlement},
        key::{Key, Keys},
        memory::Memory,
        store::{Backend, Later, Reply, Unavailable},
    },
};

/// Settlements of which the server is to be told.
const MOST_QUEUED: usize = 65_536;
/// Those that one call tells.
const BATCH: usize = 128;
/// A reply to a batch has some 20 KiB; that of a large cluster to the question for its slots, some
/// hundreds of KiB.
const BOUNDS: Bounds = Bounds { max_reply: 1 << 20, max_waiting: 4_096 };
/// In `Standing::window`: taken from this replica's share, and to be settled there.
const FROM_LOCAL: u32 = 1 << 30;
/// Of more, a rate's interval would not be counted any more.
const MOST_REPLICAS: u32 = 100_000;

pub(super) struct Shared {
    core: Arc<Core>,
    settling: Task,
}

struct Core {
    link: Link<Counter>,
    counter: Counter,
    keys: Keys,
    leases: Leases,
    own: Own,
    // Requests in flight are each replica's own.
    places: Memory,
    local: Option<Local>,
    queue: Lock<VecDeque<Settlement>>,
    queued: Notify,
    counts: Counters,
}

/// This replica's share of all limits.
struct Local {
    replicas: u32,
    memory: Memory,
}

impl Shared {
    pub(super) fn new(settings: RedisStore) -> Self {
        let RedisStore { places, secret, namespace, lease, wait, when_away } = settings;
        let counter = Counter::new(namespace);
        let local = match when_away {
            WhenAway::Local { replicas } => Some(Local {
                replicas: replicas.clamp(1, MOST_REPLICAS),
                memory: Memory::new(MemoryStore::new()),
            }),
            WhenAway::Refuse => None,
        };
        let core = Core {
            link: Link::new(places, wait, BOUNDS, counter.clone()),
            counter,
            keys: Keys::new(half_of_digest(secret.expose().as_bytes())),
            leases: Leases::new(lease),
            own: Own::new(wait),
            places: Memory::new(MemoryStore::new()),
            local,
            queue: Lock::default(),
            queued: Notify::new(),
            counts: Counters::default(),
        };
        let shared = Self { core: Arc::new(core), settling: Task::default() };
        shared.keep();
        shared
    }

    fn keep(&self) {
        self.settling.keep(|| Arc::clone(&self.core).settle_for_ever());
    }
}

impl Backend for Shared {
    fn keys(&self) -> &Keys {
        &self.core.keys
    }

    fn decide(&self, asks: &Asks) -> Reply {
        self.keep();
        let core = &self.core;
        let (in_flight, counted) = apart(asks);
        let admitted = Admitted::take(core, in_flight);
        if counted.is_empty() {
            return Reply::Now(Ok(admitted.together(asks, nothing())));
        }
        if admitted.decision.passes
            && let Some(decision) = core.leases.decide(&counted)
        {
            count(&core.counts.leased, 1);
            return Reply::Now(Ok(admitted.together(asks, decision)));
        }
        let (core, asks) = (Arc::clone(core), asks.clone());
        Reply::Later(Box::pin(async move {
            // What is refused for its place takes nothing of the others.
            let decision = if admitted.decision.passes {
                core.decide(&counted).await?
            } else {
                core.look(&counted).await?
            };
            Ok(admitted.together(&asks, decision))
        }))
    }

    fn settle(&self, settlements: &[Settlement]) {
        self.keep();
        self.core.settle(settlements);
    }

    fn look(&self, asks: &Asks) -> Reply {
        self.keep();
        let (in_flight, counted) = apart(asks);
        let (core, asks) = (Arc::clone(&self.core), asks.clone());
        Reply::Later(Box::pin(async move {
            let of_places = at_once(core.places.look(&in_flight));
            let of_counters =
                if counted.is_empty() { nothing() } else { core.look(&counted).await? };
            Ok(together(&asks, of_places, of_counters))
        }))
    }

    fn reset(&self, keys: &[Key]) -> Later<bool> {
        self.keep();
        self.core.leases.forget(keys);
        self.core.own.forget(keys);
        let here = self.core.places.reset(keys);
        let local = self.core.local.as_ref().map(|local| local.memory.reset(keys));
        let (core, keys) = (Arc::clone(&self.core), keys.to_vec());
        Box::pin(async move {
            here.await;
            if let Some(local) = local {
                local.await;
            }
            let call = &core.counter.reset(&keys);
            let told = core.link.with(|mut connection| async move {
                call.invoke_async::<Vec<i64>>(&mut connection).await
            });
            told.await.is_ok()
        })
    }

    fn redis_counts(&self) -> Option<RedisCounts> {
        Some(self.core.counts.read())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("up", &self.core.link.is_up())
            .field("queued", &self.core.queue.lock().len())
            .finish_non_exhaustive()
    }
}

// === impl Core ===

impl Core {
    async fn decide(&self, asks: &Asks) -> Result<Decision, Unavailable> {
        let ahead = self.leases.ahead(asks);
        let now = self.own.now();
        let call = self.counter.decide(asks, &ahead, &self.floors(asks, now));
        let Some((decision, told)) = self.call(&call, asks).await else {
            return self.alone(|memory| memory.decide(&share_of(asks, self.replicas())));
        };
        if decision.passes {
            self.own.counted(counted(asks, &decision, &told), now);
            self.leases.keep(asks, &decision, &told);
        } else if let Some(decision) = self.leases.decide(asks) {
            // Of a lease that another request brought meanwhile.
            return Ok(decision);
        }
        Ok(decision)
    }

    async fn look(&self, asks: &Asks) -> Result<Decision, Unavailable> {
        let floors = self.floors(asks, self.own.now());
        match self.call(&self.counter.look(asks, &floors), asks).await {
            Some((decision, _)) => Ok(decision),
            None => self.alone(|memory| memory.look(&share_of(asks, self.replicas()))),
        }
    }

    async fn call(&self, call: &ScriptInvocation<'_>, asks: &Asks) -> Option<(Decision, AllTold)> {
        let told = self.link.with(|mut connection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        });
        let told = script::read(&told.await.ok()?, asks);
        count(&self.counts.asked, 1);
        let restored = |(_, told): &(_, AllTold)| told.iter().any(|told| told.restored);
        count(&self.counts.restored, usize::from(told.as_ref().is_some_and(restored)));
        told
    }

    fn floors(&self, asks: &Asks, now: u64) -> SmallVec<[Floor; 4]> {
        self.own.floors(asks.iter().map(|ask| (ask.key, ask.allowance)), now)
    }

    /// Decides while the server is away.
    fn alone(&self, decide: impl FnOnce(&Memory) -> Reply) -> Result<Decision, Unavailable> {
        let Some(local) = &self.local else {
            count(&self.counts.refused, 1);
            return Err(Unavailable);
        };
        let mut decision = at_once(decide(&local.memory));
        for standing in &mut decision.standings {
            standing.window |= FROM_LOCAL;
        }
        count(&self.counts.local, 1);
        Ok(decision)
    }

    fn replicas(&self) -> u32 {
        self.local.as_ref().map_or(1, |local| local.replicas)
    }

    fn settle(&self, settlements: &[Settlement]) {
        let mut lost = 0;
        for settlement in settlements {
            if let Kind::Concurrency(_) = settlement.allowance.0 {
                self.places.settle(std::slice::from_ref(settlement));
            } else if settlement.window & FROM_LOCAL != 0 {
                if let Some(local) = &self.local {
                    local.memory.settle(&[Settlement {
                        allowance: share(settlement.allowance, local.replicas),
                        window: settlement.window & !FROM_LOCAL,
                        ..*settlement
                    }]);
                }
            } else {
                self.take_off(settlement);
                let mut queue = self.queue.lock();
                if queue.len() < MOST_QUEUED {
                    queue.push_back(*settlement);
                } else {
                    lost += 1;
                }
            }
        }
        count(&self.counts.unsettled, lost);
        self.queued.notify_one();
    }

    /// Tells the server what was settled, and gives back what was taken ahead and not used.
    async fn settle_for_ever(self: Arc<Self>) {
        loop {
            if self.leases.are_taken() {
                let _in_time = timeout(LIFE, self.queued.notified()).await;
                self.settle_expired();
            } else {
                self.queued.notified().await;
            }
            while let Some(batch) = self.next_batch() {
                self.link.up().await;
                let now = self.own.now();
                let of_batch = batch.iter().map(|settled| (settled.key, settled.allowance));
                let floors: SmallVec<[Floor; BATCH]> = self.own.floors(of_batch, now);
                let call = &self.counter.settle(&batch, &floors);
                let told = self.link.once(|mut connection| async move {
                    call.invoke_async::<Vec<i64>>(&mut connection).await
                });
                match told.await {
                    Ok(told) => {
                        count(&self.counts.settled, batch.len());
                        self.own.counted(settled(&batch, &told), now);
                    }
                    // Twice would be worse: a refund would be given twice, too.
                    Err(Away { perhaps_done: true }) => count(&self.counts.unsettled, batch.len()),
                    Err(Away { perhaps_done: false }) => self.put_back(batch),
                }
            }
        }
    }

    /// What is given back is so for this replica before the server is told: it never says that the
    /// server should have counted more than it has.
    fn take_off(&self, settlement: &Settlement) {
        if settlement.permits < 0 {
            self.own.given_back(settlement);
        }
    }

    fn settle_expired(&self) {
        let expired = self.leases.expired();
        expired.iter().for_each(|settlement| self.take_off(settlement));
        let mut queue = self.queue.lock();
        let room = MOST_QUEUED.saturating_sub(queue.len());
        count(&self.counts.unsettled, expired.len().saturating_sub(room));
        queue.extend(expired.into_iter().take(room));
    }

    fn next_batch(&self) -> Option<Vec<Settlement>> {
        let mut queue = self.queue.lock();
        let many = queue.len().min(BATCH);
        (many > 0).then(|| queue.drain(..many).collect())
    }

    fn put_back(&self, batch: Vec<Settlement>) {
        let mut queue = self.queue.lock();
        for settlement in batch.into_iter().rev() {
            queue.push_front(settlement);
        }
    }
}

/// Places in flight that a request has taken, until all others have said yes: its drop gives them
/// back.
struct Admitted {
    core: Arc<Core>,
    asks: Asks,
    decision: Decision,
}

impl Admitted {
    fn take(core: &Arc<Core>, asks: Asks) -> Self {
        let decision = if asks.is_empty() { nothing() } else { at_once(core.places.decide(&asks)) };
        Self { core: Arc::clone(core), asks, decision }
    }

    /// What both said, in the order of the asks. Where both let the request pass, whoever asked gives
    /// the places back.
    fn together(mut self, asks: &Asks, counted: Decision) -> Decision {
        let both = together(asks, self.decision.clone(), counted);
        if both.passes {
            self.asks.clear();
        }
        both
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.decision.passes {
            return;
        }
        for (ask, standing) in self.asks.iter().zip(&self.decision.standings) {
            if standing.allows {
                self.core.places.settle(&[Settlement {
                    key: ask.key,
                    overflow: ask.overflow,
                    allowance: ask.allowance,
                    window: standing.window,
                    permits: i64::try_from(ask.cost).map_or(i64::MIN, |cost| -cost),
                }]);
            }
        }
    }
}

/// Those for places in flight, and those that are counted together with other replicas.
fn apart(asks: &Asks) -> (Asks, Asks) {
    asks.iter().copied().partition(is_local)
}

fn together(asks: &Asks, in_flight: Decision, counted: Decision) -> Decision {
    let passes = in_flight.passes && counted.passes;
    let (mut in_flight, mut counted) =
        (in_flight.standings.into_iter(), counted.standings.into_iter());
    let of = |ask| if is_local(ask) { in_flight.next() } else { counted.next() };
    let standings: SmallVec<_> = asks.iter().filter_map(of).collect();
    // One would be missing if a store had not answered every ask.
    Decision { passes: passes && standings.len() == asks.len(), standings }
}

const fn is_local(ask: &Ask) -> bool {
    matches!(ask.allowance.0, Kind::Concurrency(_))
}

/// What the server has counted of a request that passed.
fn counted(asks: &Asks, decision: &Decision, told: &AllTold) -> impl Iterator<Item = Counted> {
    let asked = asks.iter().zip(&decision.standings).zip(told);
    asked.filter(|((ask, standing), _)| standing.allows && ask.cost > 0).map(
        |((ask, standing), told)| Counted {
            key: ask.key,
            allowance: ask.allowance,
            permits: ask.cost.saturating_add(told.ahead),
            window: standing.window,
            reset: told.reset,
        },
    )
}

/// What the server has counted of settlements that took more.
fn settled(batch: &[Settlement], told: &[i64]) -> impl Iterator<Item = Counted> {
    let told = batch.iter().zip(script::read_settled(told));
    told.filter_map(|(settlement, (window, reset))| {
        let permits = u64::try_from(settlement.permits).ok().filter(|permits| *permits > 0)?;
        let &Settlement { key, allowance, .. } = settlement;
        Some(Counted { key, allowance, permits, window, reset })
    })
}

fn nothing() -> Decision {
    Decision { passes: true, ..Decision::default() }
}

/// What the memory says, which never waits.
fn at_once(reply: Reply) -> Decision {
    match reply {
        Reply::Now(Ok(decision)) => decision,
        Reply::Now(Err(Unavailable)) | Reply::Later(_) => Decision::default(),
    }
}

fn share_of(asks: &Asks, replicas: u32) -> Asks {
    let share = |ask: &Ask| Ask { allowance: share(ask.allowance, replicas), ..*ask };
    asks.iter().map(share).collect()
}

fn share(allowance: Allowance, replicas: u32) -> Allowance {
    Allowance(match allowance.0 {
        Kind::Rate(rate) => Kind::Rate(rate.share(replicas)),
        Kind::Failures(rate) => Kind::Failures(rate.share(replicas)),
        Kind::Quota(quota) => Kind::Quota(quota.share(replicas)),
        Kind::Concurrency(concurrency) => Kind::Concurrency(concurrency),
    })
}

/// Half of a digest is as long as a key of the hash.
fn half_of_digest(secret: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    let digest = digest::digest(&digest::SHA256, secret);
    for (to, from) in half.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    half
}
