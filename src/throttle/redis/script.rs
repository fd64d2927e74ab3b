//! The one script, and its words.

use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};
use smallvec::SmallVec;

use super::own::Floor;
use crate::{
    redis_link::{Connection, Policy, Probe},
    throttle::{
        allowance::{Allowance, Kind},
        ask::{Ask, Asks, Decision, Settlement, Standing},
        key::Key,
        quota::Period,
    },
};

/// Keys begin with `{namespace}:v1:`. Another layout of values gets another number: two versions of
/// this crate that share a server do not read each other's counters.
pub(super) const VERSION: &str = "v1";

/// The script, where it is allowed to count.
#[derive(Clone)]
pub(super) struct Counter {
    script: Script,
    namespace: Box<str>,
}

impl Counter {
    pub(super) fn new(namespace: Box<str>) -> Self {
        Self { script: Script::new(include_str!("script.lua")), namespace }
    }

    /// Takes what is asked of all or of none, and ahead so many more.
    pub(super) fn decide(
        &self,
        asks: &Asks,
        ahead: &[u32],
        floors: &[Floor],
    ) -> ScriptInvocation<'_> {
        self.ask("d", asks, ahead, floors)
    }

    /// Takes nothing, whatever the cost.
    pub(super) fn look(&self, asks: &Asks, floors: &[Floor]) -> ScriptInvocation<'_> {
        let free = asks.iter().map(|ask| Ask { cost: 0, ..*ask }).collect();
        self.ask("l", &free, &[], floors)
    }

    pub(super) fn settle(
        &self,
        settlements: &[Settlement],
        floors: &[Floor],
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

    pub(super) fn reset(&self, keys: &[Key]) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg("r");
        for &key in keys {
            call.key(self.name(key));
        }
        call
    }

    /// In braces, so that all keys lie in one slot of a cluster and one script can decide on them.
    fn name(&self, key: Key) -> String {
        format!("{{{}}}:{VERSION}:{:032x}", self.namespace, key.0)
    }

    fn ask(
        &self,
        mode: &str,
        asks: &Asks,
        ahead: &[u32],
        floors: &[Floor],
    ) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg(mode);
        for (place, ask) in asks.iter().enumerate() {
            let ahead = ahead.get(place).copied().unwrap_or(0);
            call.key(self.name(ask.key));
            put(&mut call, ask.allowance, i128::from(ask.cost), ask.enforced, 0, ahead);
            put_floor(&mut call, floors.get(place));
        }
        call
    }
}

impl Probe for Counter {
    async fn probe(&self, mut connection: Connection) -> RedisResult<()> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{{{}}}:{VERSION}:probe", self.namespace)).arg("p");
        let _answer: Vec<i64> = call.invoke_async(&mut connection).await?;
        Ok(())
    }

    fn advice(&self, policy: &Policy) -> Option<&'static str> {
        policy.evicts().then_some(
            "the server of the limits evicts counters when it is full, which gives callers their \
             quotas anew: set its maxmemory-policy to noeviction, and keep cached responses on \
             another server",
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
    // As far as doubles count; nobody takes more at once.
    const MOST: i128 = 1 << 52;
    let permits = permits.clamp(-MOST, MOST);
    match allowance.0 {
        Kind::Rate(rate) | Kind::Failures(rate) => {
            // An interval of nothing is never multiplied: the burst is zero then.
            let interval = rate.interval().unwrap_or(1);
            call.arg("r").arg(interval as f64 / 1_000.0).arg(rate.capacity());
            call.arg(allowance.max_debt() as f64 / 1_000.0);
        }
        Kind::Quota(quota) => {
            let kind = match quota.period() {
                Period::Day => "d",
                Period::Week => "w",
                Period::Month => "m",
            };
            let (first, offset) = quota
                .first_window()
                .map_or((-1, 0), |(window, offset)| (i64::from(window), offset.min(MOST as u64)));
            call.arg(kind).arg(first).arg(quota.limit().min(MOST_USED)).arg(offset);
        }
        // Counted by the process alone.
        Kind::Concurrency(_) => {
            call.arg("r").arg(1).arg(0).arg(0);
        }
    }
    call.arg(permits as i64).arg(u8::from(enforced)).arg(window).arg(ahead);
}

fn put_floor(call: &mut ScriptInvocation<'_>, floor: Option<&Floor>) {
    let Floor { value, window, reset } = floor.copied().unwrap_or_default();
    call.arg(value).arg(window).arg(reset);
}

/// A quota is counted up to here.
const MOST_USED: u64 = (1 << 40) - 1;

/// What the script told of one ask, beside how it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Permits that were taken ahead.
    pub(super) ahead: u64,
    /// When the key was last reset.
    pub(super) reset: u64,
    /// Whether the server had counted less than its caller.
    pub(super) restored: bool,
}

pub(super) type AllTold = SmallVec<[Told; 4]>;

/// Numbers in a row.
const ROW: usize = 9;

/// What the script told; `None` if it is not what the script tells.
pub(super) fn read(told: &[i64], asks: &Asks) -> Option<(Decision, AllTold)> {
    let (&passes, rows) = told.split_first()?;
    let passes = passes == 1;
    let (rows, rest) = rows.as_chunks::<ROW>();
    if rows.len() != asks.len() || !rest.is_empty() {
        return None;
    }
    let mut all = AllTold::new();
    let mut standings = SmallVec::new();
    for (ask, &row) in asks.iter().zip(rows) {
        let [allows, remaining, most, wait, reset, window, extra, last_reset, restored] = row;
        let wait = match ask.allowance.0 {
            // Nothing will ever pass.
            Kind::Rate(rate) | Kind::Failures(rate) if rate.capacity() == 0 => rate.permits().1,
            _ => Duration::from_micros(number(wait)),
        };
        standings.push(Standing {
            allows: allows == 1,
            remaining: number(remaining).saturating_add(number(extra)),
            most: number(most),
            wait: if allows == 1 { Duration::ZERO } else { wait },
            reset: Duration::from_micros(number(reset)),
            window: u32::try_from(window).unwrap_or(0),
        });
        all.push(Told {
            // Where another limit refuses, nothing was taken.
            ahead: if passes { number(extra) } else { 0 },
            reset: time(last_reset),
            restored: restored == 1,
        });
    }
    Some((Decision { passes, standings }, all))
}

/// What the script told of settlements: of each, the window it was counted in, and when the key was
/// last reset.
pub(super) fn read_settled(told: &[i64]) -> impl Iterator<Item = (u32, u64)> {
    let (rows, _) = told.get(1..).unwrap_or_default().as_chunks::<ROW>();
    rows.iter().map(|&[_, _, _, _, _, window, _, last_reset, _]| {
        (u32::try_from(window).unwrap_or(0), time(last_reset))
    })
}

/// As far as the script takes a time for one.
fn time(told: i64) -> u64 {
    number(told).min((1 << 52) - 1)
}

fn number(told: i64) -> u64 {
    u64::try_from(told).unwrap_or(0)
}
