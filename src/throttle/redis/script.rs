//! The one script, and its words.

use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};
use smallvec::SmallVec;

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
    pub(super) fn decide(&self, asks: &Asks, ahead: &[u32]) -> ScriptInvocation<'_> {
        self.ask("d", asks, ahead)
    }

    /// Takes nothing, whatever the cost.
    pub(super) fn look(&self, asks: &Asks) -> ScriptInvocation<'_> {
        let free = asks.iter().map(|ask| Ask { cost: 0, ..*ask }).collect();
        self.ask("l", &free, &[])
    }

    pub(super) fn settle(&self, settlements: &[Settlement]) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg("s");
        for &Settlement { key, allowance, window, permits, .. } in settlements {
            call.key(self.name(key));
            put(&mut call, allowance, i128::from(permits), false, window, 0);
        }
        call
    }

    /// In braces, so that all keys lie in one slot of a cluster and one script can decide on them.
    pub(super) fn name(&self, key: Key) -> String {
        format!("{{{}}}:{VERSION}:{:032x}", self.namespace, key.0)
    }

    fn ask(&self, mode: &str, asks: &Asks, ahead: &[u32]) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg(mode);
        for (place, ask) in asks.iter().enumerate() {
            let ahead = ahead.get(place).copied().unwrap_or(0);
            call.key(self.name(ask.key));
            put(&mut call, ask.allowance, i128::from(ask.cost), ask.enforced, 0, ahead);
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
        Kind::Rate(rate) => {
            // An interval of nothing is never multiplied: the burst is zero then.
            let interval = rate.interval().unwrap_or(1);
            call.arg("r").arg(interval as f64 / 1_000.0).arg(rate.capacity()).arg(0);
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

/// A quota is counted up to here.
const MOST_USED: u64 = (1 << 40) - 1;

/// For each of some asks, how many permits were taken ahead.
pub(super) type Taken = SmallVec<[u64; 4]>;

/// What the script told; `None` if it is not what the script tells.
pub(super) fn read(told: &[i64], asks: &Asks) -> Option<(Decision, Taken)> {
    let (&passes, rows) = told.split_first()?;
    let passes = passes == 1;
    let (rows, rest) = rows.as_chunks::<7>();
    if rows.len() != asks.len() || !rest.is_empty() {
        return None;
    }
    let number = |told: i64| u64::try_from(told).unwrap_or(0);
    let mut taken = Taken::new();
    let mut standings = SmallVec::new();
    for (ask, &[allows, remaining, most, wait, reset, window, extra]) in asks.iter().zip(rows) {
        let wait = match ask.allowance.0 {
            // Nothing will ever pass.
            Kind::Rate(rate) if rate.capacity() == 0 => rate.permits().1,
            _ => Duration::from_micros(number(wait)),
        };
        // Where another limit refuses, nothing was taken.
        let ahead = if passes { number(extra) } else { 0 };
        standings.push(Standing {
            allows: allows == 1,
            remaining: number(remaining).saturating_add(number(extra)),
            most: number(most),
            wait: if allows == 1 { Duration::ZERO } else { wait },
            reset: Duration::from_micros(number(reset)),
            window: u32::try_from(window).unwrap_or(0),
        });
        taken.push(ahead);
    }
    Some((Decision { passes, standings }, taken))
}
