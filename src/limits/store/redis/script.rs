//! The one script of the server, its arguments and its replies.

use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};
use smallvec::SmallVec;

use super::replica_counts::CountFloor;
use crate::{
    limits::{
        kind::{Allowance, AllowanceKind, Period},
        store::permit::{Decision, PermitOutcome, PermitRequest, PermitRequests, Settlement},
        subject::CounterKey,
    },
    redis_link::{Connection, Policy, Probe},
};

/// The version of the layout, in keys that start with `{namespace}:v1:`. Two versions of this crate
/// with different layouts can share a server.
const VERSION: &str = "v1";

/// The script in one namespace.
#[derive(Clone)]
pub(super) struct CountingScript {
    script: Script,
    namespace: Box<str>,
}

impl CountingScript {
    pub(super) fn new(namespace: Box<str>) -> Self {
        Self { script: Script::new(include_str!("script.lua")), namespace }
    }

    /// Takes the permits of all requests or of none, and more permits ahead.
    pub(super) fn decide(
        &self,
        requests: &PermitRequests,
        ahead: &[u32],
        floors: &[CountFloor],
    ) -> ScriptInvocation<'_> {
        self.decision_call("d", requests, ahead, floors)
    }

    /// Decides on costs of 0 and takes nothing.
    pub(super) fn peek(
        &self,
        requests: &PermitRequests,
        floors: &[CountFloor],
    ) -> ScriptInvocation<'_> {
        let free = requests.iter().map(|request| PermitRequest { cost: 0, ..*request }).collect();
        self.decision_call("l", &free, &[], floors)
    }

    pub(super) fn settle(
        &self,
        settlements: &[Settlement],
        floors: &[CountFloor],
    ) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg("s");
        for (place, settlement) in settlements.iter().enumerate() {
            let &Settlement { key, allowance, window, permits, .. } = settlement;
            call.key(self.name(key));
            put(&mut call, allowance, i128::from(permits), false, window, 0);
            put_floor(&mut call, floors.get(place));
        }
        call
    }

    pub(super) fn reset(&self, keys: &[CounterKey]) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg("r");
        for &key in keys {
            call.key(self.name(key));
        }
        call
    }

    /// Returns the server's key. The braces put all keys into one slot of a cluster, which one script
    /// call needs.
    fn name(&self, key: CounterKey) -> String {
        format!("{{{}}}:{VERSION}:{:032x}", self.namespace, key.0)
    }

    fn decision_call(
        &self,
        mode: &str,
        requests: &PermitRequests,
        ahead: &[u32],
        floors: &[CountFloor],
    ) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg(mode);
        for (place, request) in requests.iter().enumerate() {
            let ahead = ahead.get(place).copied().unwrap_or(0);
            call.key(self.name(request.key));
            put(&mut call, request.allowance, i128::from(request.cost), request.enforced, 0, ahead);
            put_floor(&mut call, floors.get(place));
        }
        call
    }
}

impl Probe for CountingScript {
    async fn probe(&self, mut connection: Connection) -> RedisResult<()> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{{{}}}:{VERSION}:probe", self.namespace)).arg("p");
        let _reply: Vec<i64> = call.invoke_async(&mut connection).await?;
        Ok(())
    }

    fn advice(&self, policy: &Policy) -> Option<&'static str> {
        policy.evicts().then_some(
            "the server of the limits evicts counters when it is full, so callers get their quotas \
             again: set its maxmemory-policy to noeviction, and keep cached responses on another \
             server",
        )
    }
}

fn put(
    call: &mut ScriptInvocation<'_>,
    allowance: Allowance,
    permits: i128,
    enforced: bool,
    window: u32,
    ahead: u32,
) {
    // A double counts exactly up to 2^53.
    const MAX: i128 = 1 << 52;
    let permits = permits.clamp(-MAX, MAX);
    match allowance.0 {
        AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
            // A rate without an interval has a burst of zero, so any interval serves.
            let interval = rate.interval().unwrap_or(1);
            call.arg("r").arg(interval as f64 / 1_000.0).arg(rate.capacity());
            call.arg(allowance.max_debt() as f64 / 1_000.0);
        }
        AllowanceKind::Quota(quota) => {
            let kind = match quota.period() {
                Period::Day => "d",
                Period::Week => "w",
                Period::Month => "m",
            };
            let (first, offset) = quota
                .first_window()
                .map_or((-1, 0), |(window, offset)| (i64::from(window), offset.min(MAX as u64)));
            call.arg(kind).arg(first).arg(quota.limit().min(MAX_USED)).arg(offset);
        }
        // Each replica counts its own requests in flight.
        AllowanceKind::Concurrency(_) => {
            call.arg("r").arg(1).arg(0).arg(0);
        }
    }
    call.arg(permits as i64).arg(u8::from(enforced)).arg(window).arg(ahead);
}

fn put_floor(call: &mut ScriptInvocation<'_>, floor: Option<&CountFloor>) {
    let CountFloor { value, window, reset } = floor.copied().unwrap_or_default();
    call.arg(value).arg(window).arg(reset);
}

/// The most permits that the script counts for a quota.
const MAX_USED: u64 = (1 << 40) - 1;

/// The values of a reply for one permit request, beside its outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScriptNote {
    /// The permits that were taken ahead.
    pub(super) ahead: u64,
    /// The time of the key's last reset.
    pub(super) reset: u64,
    /// Whether the server had counted less than this replica.
    pub(super) restored: bool,
}

pub(super) type ScriptNotes = SmallVec<[ScriptNote; 4]>;

/// The numbers for one permit request.
const ROW: usize = 9;

/// Reads a reply, or returns `None` for an invalid one.
pub(super) fn read(reply: &[i64], requests: &PermitRequests) -> Option<(Decision, ScriptNotes)> {
    let (&passes, rows) = reply.split_first()?;
    let passes = passes == 1;
    let (rows, rest) = rows.as_chunks::<ROW>();
    if rows.len() != requests.len() || !rest.is_empty() {
        return None;
    }
    let mut all = ScriptNotes::new();
    let mut outcomes = SmallVec::new();
    for (request, &row) in requests.iter().zip(rows) {
        let [allows, remaining, capacity, wait, reset, window, extra, last_reset, restored] = row;
        let wait = match request.allowance.0 {
            // A rate of zero never passes.
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) if rate.capacity() == 0 => {
                rate.permits().1
            }
            _ => Duration::from_micros(number(wait)),
        };
        outcomes.push(PermitOutcome {
            allows: allows == 1,
            remaining: number(remaining).saturating_add(number(extra)),
            capacity: number(capacity),
            retry_after: if allows == 1 { Duration::ZERO } else { wait },
            reset_after: Duration::from_micros(number(reset)),
            window: u32::try_from(window).unwrap_or(0),
        });
        all.push(ScriptNote {
            // If another limit rejects the request, nothing was taken.
            ahead: if passes { number(extra) } else { 0 },
            reset: time(last_reset),
            restored: restored == 1,
        });
    }
    Some((Decision { passes, outcomes }, all))
}

/// Reads the reply to settlements. Each has the window that counted it and the time of the key's last
/// reset.
pub(super) fn read_settled(reply: &[i64]) -> impl Iterator<Item = (u32, u64)> {
    let (rows, _) = reply.get(1..).unwrap_or_default().as_chunks::<ROW>();
    rows.iter().map(|&[_, _, _, _, _, window, _, last_reset, _]| {
        (u32::try_from(window).unwrap_or(0), time(last_reset))
    })
}

/// Reads a time, up to the largest that the script accepts.
fn time(value: i64) -> u64 {
    number(value).min((1 << 52) - 1)
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
