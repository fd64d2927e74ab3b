use std::sync::Arc;

use aws_lc_rs::digest;
use redis::ScriptInvocation;
use smallvec::SmallVec;

use super::{
    counts::{RedisCounters, count},
    lease::{LEASE_TIME, Leases},
    queue::{BATCH, SettlementQueue},
    replica_counts::{CountFloor, ReplicaCounts, ServerCount},
    script::{self, CountingScript, ScriptNotes},
    settings::{OutagePolicy, RedisStore},
};
use crate::{
    limits::{
        kind::{Allowance, AllowanceKind},
        store::{
            backend::{Backend, StoreFuture, StoreUnavailable},
            memory::{MemoryBackend, MemoryStore},
            permit::{Decision, PermitRequest, PermitRequests, Settlement},
        },
        subject::{CounterHasher, CounterKey},
    },
    redis_link::{Away, Bounds, Link},
};

/// A reply to a batch has some 20 KiB. A large cluster describes its slots in some hundreds of KiB.
const BOUNDS: Bounds = Bounds { max_reply: 1 << 20, max_waiting: 4_096 };
/// A bit of `PermitOutcome::window`: the permits were taken from this replica's share.
const FROM_LOCAL: u32 = 1 << 30;
/// The interval of a rate's share would overflow beyond this.
const MAX_REPLICAS: u32 = 100_000;

/// The counters on the server, and all that this replica knows of them.
pub(super) struct SharedCounters {
    link: Link<CountingScript>,
    script: CountingScript,
    hasher: CounterHasher,
    leases: Leases,
    replica_counts: ReplicaCounts,
    in_flight: Arc<MemoryBackend>,
    local: Option<LocalShare>,
    queue: SettlementQueue,
    counts: RedisCounters,
}

/// This replica's share of all limits, for outages.
struct LocalShare {
    replicas: u32,
    store: MemoryBackend,
}

impl SharedCounters {
    pub(super) fn new(settings: RedisStore) -> Self {
        let RedisStore { places, secret, namespace, lease, decision_timeout, outage } = settings;
        let script = CountingScript::new(namespace);
        let local = match outage {
            OutagePolicy::Local { replicas } => Some(LocalShare {
                replicas: replicas.clamp(1, MAX_REPLICAS),
                store: MemoryBackend::new(MemoryStore::new()),
            }),
            OutagePolicy::Reject => None,
        };
        Self {
            link: Link::new(places, decision_timeout, BOUNDS, script.clone()),
            script,
            hasher: CounterHasher::new(half_of_digest(secret.expose().as_bytes())),
            leases: Leases::new(lease),
            replica_counts: ReplicaCounts::new(decision_timeout),
            in_flight: Arc::new(MemoryBackend::new(MemoryStore::new())),
            local,
            queue: SettlementQueue::default(),
            counts: RedisCounters::default(),
        }
    }

    pub(super) const fn hasher(&self) -> &CounterHasher {
        &self.hasher
    }

    pub(super) const fn leases(&self) -> &Leases {
        &self.leases
    }

    pub(super) const fn in_flight(&self) -> &Arc<MemoryBackend> {
        &self.in_flight
    }

    pub(super) const fn counts(&self) -> &RedisCounters {
        &self.counts
    }

    pub(super) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) async fn decide(
        &self,
        requests: &PermitRequests,
    ) -> Result<Decision, StoreUnavailable> {
        let ahead = self.leases.ahead(requests);
        let now = self.replica_counts.now();
        let call = self.script.decide(requests, &ahead, &self.floors(requests, now));
        let Some((decision, notes)) = self.call(&call, requests).await else {
            return self.decide_locally(requests, true);
        };
        if decision.passes {
            self.replica_counts.counted(counted(requests, &decision, &notes), now);
            self.leases.add(requests, &decision, &notes);
        } else if let Some(decision) = self.leases.decide(requests) {
            // Another request has brought a lease in the meantime.
            return Ok(decision);
        }
        Ok(decision)
    }

    pub(super) async fn peek(
        &self,
        requests: &PermitRequests,
    ) -> Result<Decision, StoreUnavailable> {
        let floors = self.floors(requests, self.replica_counts.now());
        match self.call(&self.script.peek(requests, &floors), requests).await {
            Some((decision, _)) => Ok(decision),
            None => self.decide_locally(requests, false),
        }
    }

    /// Resets what this replica knows.
    pub(super) fn reset_here(&self, keys: &[CounterKey]) -> StoreFuture<()> {
        self.leases.forget(keys);
        self.replica_counts.forget(keys);
        let in_flight = self.in_flight.reset(keys);
        let local = self.local.as_ref().map(|local| local.store.reset(keys));
        Box::pin(async move {
            in_flight.await;
            if let Some(local) = local {
                local.await;
            }
        })
    }

    /// Resets counters on the server. Returns `false` where it could not be reached.
    pub(super) async fn reset_on_server(&self, keys: &[CounterKey]) -> bool {
        let call = &self.script.reset(keys);
        let reply = self.link.with(|mut connection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        });
        reply.await.is_ok()
    }

    /// Queues settlements for the server. Permits in flight and the local share are settled at once.
    pub(super) fn settle(&self, settlements: &[Settlement]) {
        let mut lost = 0;
        for settlement in settlements {
            if let AllowanceKind::Concurrency(_) = settlement.allowance.0 {
                self.in_flight.settle(std::slice::from_ref(settlement));
            } else if settlement.window & FROM_LOCAL != 0 {
                if let Some(local) = &self.local {
                    local.store.settle(&[Settlement {
                        allowance: share(settlement.allowance, local.replicas),
                        window: settlement.window & !FROM_LOCAL,
                        ..*settlement
                    }]);
                }
            } else {
                self.give_back_here(settlement);
                lost += usize::from(!self.queue.push(*settlement));
            }
        }
        count(&self.counts.unsettled, lost);
        self.queue.notify();
    }

    /// Sends settlements to the server, and gives expired leases back.
    pub(super) async fn settle_forever(self: Arc<Self>) {
        loop {
            if self.leases.are_enabled() {
                self.queue.changed_within(LEASE_TIME).await;
                self.settle_expired_leases();
            } else {
                self.queue.changed().await;
            }
            while let Some(batch) = self.queue.next_batch() {
                self.settle_on_server(batch).await;
            }
        }
    }

    async fn settle_on_server(&self, batch: Vec<Settlement>) {
        self.link.up().await;
        let now = self.replica_counts.now();
        let keys = batch.iter().map(|settlement| (settlement.key, settlement.allowance));
        let floors: SmallVec<[CountFloor; BATCH]> = self.replica_counts.floors(keys, now);
        let call = &self.script.settle(&batch, &floors);
        let reply = self.link.once(|mut connection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        });
        match reply.await {
            Ok(reply) => {
                count(&self.counts.settled, batch.len());
                self.replica_counts.counted(settled(&batch, &reply), now);
            }
            // Settling twice would be worse, because it could give permits back twice.
            Err(Away { perhaps_done: true }) => count(&self.counts.unsettled, batch.len()),
            Err(Away { perhaps_done: false }) => self.queue.put_back(batch),
        }
    }

    fn settle_expired_leases(&self) {
        let expired = self.leases.expired();
        expired.iter().for_each(|settlement| self.give_back_here(settlement));
        count(&self.counts.unsettled, self.queue.extend(expired));
    }

    /// Gives permits back to this replica's counts before the server does. The floor must never exceed
    /// what the server has counted.
    fn give_back_here(&self, settlement: &Settlement) {
        if settlement.permits < 0 {
            self.replica_counts.given_back(settlement);
        }
    }

    async fn call(
        &self,
        call: &ScriptInvocation<'_>,
        requests: &PermitRequests,
    ) -> Option<(Decision, ScriptNotes)> {
        let reply = self.link.with(|mut connection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        });
        let decided = script::read(&reply.await.ok()?, requests);
        count(&self.counts.server, 1);
        let restored = |(_, notes): &(_, ScriptNotes)| notes.iter().any(|note| note.restored);
        count(&self.counts.restored, usize::from(decided.as_ref().is_some_and(restored)));
        decided
    }

    fn floors(&self, requests: &PermitRequests, now: u64) -> SmallVec<[CountFloor; 4]> {
        let keys = requests.iter().map(|request| (request.key, request.allowance));
        self.replica_counts.floors(keys, now)
    }

    /// Decides while the server is away.
    fn decide_locally(
        &self,
        requests: &PermitRequests,
        takes: bool,
    ) -> Result<Decision, StoreUnavailable> {
        let Some(local) = &self.local else {
            count(&self.counts.rejected, 1);
            return Err(StoreUnavailable);
        };
        let share_of = |request: &PermitRequest| PermitRequest {
            allowance: share(request.allowance, local.replicas),
            ..*request
        };
        let shares: PermitRequests = requests.iter().map(share_of).collect();
        let mut decision = local.store.decide_now(&shares, takes);
        for outcome in &mut decision.outcomes {
            outcome.window |= FROM_LOCAL;
        }
        count(&self.counts.local, 1);
        Ok(decision)
    }
}

/// Returns what the server has counted for a request that passes.
fn counted(
    requests: &PermitRequests,
    decision: &Decision,
    notes: &ScriptNotes,
) -> impl Iterator<Item = ServerCount> {
    let decided = requests.iter().zip(&decision.outcomes).zip(notes);
    decided.filter(|((request, outcome), _)| outcome.allows && request.cost > 0).map(
        |((request, outcome), note)| ServerCount {
            key: request.key,
            allowance: request.allowance,
            permits: request.cost.saturating_add(note.ahead),
            window: outcome.window,
            reset: note.reset,
        },
    )
}

/// Returns what the server has counted for settlements that take more permits.
fn settled(batch: &[Settlement], reply: &[i64]) -> impl Iterator<Item = ServerCount> {
    let settled = batch.iter().zip(script::read_settled(reply));
    settled.filter_map(|(settlement, (window, reset))| {
        let permits = u64::try_from(settlement.permits).ok().filter(|permits| *permits > 0)?;
        let &Settlement { key, allowance, .. } = settlement;
        Some(ServerCount { key, allowance, permits, window, reset })
    })
}

/// Returns one replica's share of an allowance.
fn share(allowance: Allowance, replicas: u32) -> Allowance {
    Allowance(match allowance.0 {
        AllowanceKind::Rate(rate) => AllowanceKind::Rate(rate.share(replicas)),
        AllowanceKind::Failures(rate) => AllowanceKind::Failures(rate.share(replicas)),
        AllowanceKind::Quota(quota) => AllowanceKind::Quota(quota.share(replicas)),
        AllowanceKind::Concurrency(concurrency) => AllowanceKind::Concurrency(concurrency),
    })
}

/// Returns the first half of a SHA-256 digest, which has the length of a hasher's secret.
fn half_of_digest(secret: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    let digest = digest::digest(&digest::SHA256, secret);
    for (to, from) in half.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    half
}
