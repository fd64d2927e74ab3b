//! The one script, and its words.

use std::time::Duration;

use redis::{Script, ScriptInvocation};

use crate::throttle::{
    allowance::{Allowance, Kind},
    ask::{Ask, Asks, Decision, Settlement, Standing},
    key::Key,
    quota::Period,
};

/// Keys begin with `{namespace}:v1:`. Another layout of values gets another number: two versions of
/// this crate that share a server do not read each other's counters.
pub(super) const VERSION: &str = "v1";

pub(super) fn script() -> Script {
    Script::new(include_str!("script.lua"))
}

/// In braces, so that all keys lie in one slot of a cluster and one script can decide on them.
pub(super) fn name(namespace: &str, key: Key) -> String {
    format!("{{{namespace}}}:{VERSION}:{:032x}", key.0)
}

/// A rate is never more than ten years in debt.
const MOST_DEBT: f64 = 10.0 * 365.25 * 86_400e6;

pub(super) fn put_ask(call: &mut ScriptInvocation<'_>, namespace: &str, ask: &Ask, ahead: u32) {
    call.key(name(namespace, ask.key));
    put(call, ask.allowance, i128::from(ask.cost), ask.enforced, 0, ahead);
}

pub(super) fn put_settlement(
    call: &mut ScriptInvocation<'_>,
    namespace: &str,
    settlement: &Settlement,
) {
    let Settlement { key, allowance, window, permits, .. } = *settlement;
    call.key(name(namespace, key));
    put(call, allowance, i128::from(permits), false, window, 0);
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
            let (first, offset) = quota.first_window().map_or((-1, 0), |(window, offset)| {
                (i64::from(window), offset.min(MOST as u64))
            });
            call.arg(kind).arg(first).arg(quota.limit().min(MOST_USED)).arg(offset);
        }
        // Counted by the process alone.
        Kind::Concurrency(_) => {
            call.arg("r").arg(1).arg(0).arg(0);
        }
    }
    call.arg(permits as i64).arg(u8::from(enforced)).arg(window).arg(ahead).arg(MOST_DEBT);
}

/// A quota is counted up to here.
const MOST_USED: u64 = (1 << 40) - 1;

/// What the script told, and how many permits were taken ahead of each.
pub(super) fn read(told: &[i64], asks: &Asks) -> Option<(Decision, Vec<u64>)> {
    let (passes, rows) = told.split_first()?;
    let (rows, rest) = rows.as_chunks::<7>();
    if rows.len() != asks.len() || !rest.is_empty() {
        return None;
    }
    let mut ahead = Vec::with_capacity(rows.len());
    let number = |told: i64| u64::try_from(told).unwrap_or(0);
    let mut standings = smallvec::SmallVec::new();
    for (ask, &[allows, remaining, most, wait, reset, window, extra]) in asks.iter().zip(rows) {
        let wait = match ask.allowance.0 {
            // Nothing will ever pass.
            Kind::Rate(rate) if rate.capacity() == 0 => rate.permits().1,
            _ => Duration::from_micros(number(wait)),
        };
        standings.push(Standing {
            allows: allows == 1,
            remaining: number(remaining),
            most: number(most),
            wait: if allows == 1 { Duration::ZERO } else { wait },
            reset: Duration::from_micros(number(reset)),
            window: u32::try_from(window).unwrap_or(0),
        });
        ahead.push(number(extra));
    }
    Some((Decision { passes: *passes == 1, standings }, ahead))
}
