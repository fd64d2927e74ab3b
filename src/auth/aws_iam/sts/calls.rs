//! The number of calls that one address may cause.

use std::{collections::BTreeMap, time::Duration};

use crate::lock::Lock;

/// The period over which calls are counted.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// The most addresses that are counted apart. All further ones share one count.
const MAX_ADDRESSES: usize = 16 * 1024;

/// Counts the calls of each address in periods of a minute.
#[derive(Debug, Default)]
pub(super) struct Calls(Lock<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The start of the period on the monotonic clock.
    since: Duration,
    of: BTreeMap<[u8; 16], u32>,
    of_others: u32,
}

impl Calls {
    /// Counts a call. Returns the time until the next period if the address has had `max` calls.
    pub(super) fn enter(&self, address: [u8; 16], max: u32, now: Duration) -> Result<(), Duration> {
        let mut counts = self.0.lock();
        let passed = now.saturating_sub(counts.since);
        if passed >= PERIOD {
            *counts = Counts { since: now, ..Counts::default() };
        }
        let is_full = counts.of.len() >= MAX_ADDRESSES && !counts.of.contains_key(&address);
        let Counts { of, of_others, .. } = &mut *counts;
        let count = if is_full { of_others } else { of.entry(address).or_default() };
        if *count >= max {
            return Err(PERIOD.saturating_sub(passed));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_address_and_minute() {
        let calls = Calls::default();
        let at = Duration::from_secs;
        let enter = |address, now| calls.enter([address; 16], 2, at(now));
        assert_eq!([enter(1, 0), enter(1, 0), enter(1, 20)], [Ok(()), Ok(()), Err(at(40))]);
        assert_eq!(enter(2, 20), Ok(()));
        assert_eq!(enter(1, 60), Ok(()));
    }

    #[test]
    fn addresses_are_bounded() {
        let calls = Calls::default();
        for number in 0..MAX_ADDRESSES as u128 {
            calls.enter(number.to_be_bytes(), 1, Duration::ZERO).unwrap();
        }
        let others = [u128::MAX, u128::MAX - 1];
        let others = others.map(|number| calls.enter(number.to_be_bytes(), 1, Duration::ZERO));
        assert_eq!(others, [Ok(()), Err(PERIOD)]);
        assert_eq!(calls.0.lock().of.len(), MAX_ADDRESSES);
    }
}
