//! The requests and retries that a retry budget counts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::retry_budget::RetryBudget;
use crate::lock::Lock;

/// The steps in which the window moves on.
const STEPS: usize = 10;

/// The count of one budget.
pub(super) struct Budget {
    percent: u16,
    /// The retries of a window that no request has to earn. In 1/100,000, as the sums below.
    reserve: u128,
    began: Instant,
    step: Duration,
    // Each has the number of its step and the count in it, so that the pass path does not lock.
    requests: [AtomicU64; STEPS],
    retries: Lock<[Count; STEPS]>,
}

/// A count in one step of the window.
#[derive(Clone, Copy, Default)]
struct Count {
    step: u32,
    count: u32,
}

impl Budget {
    pub(super) fn new(budget: RetryBudget) -> Self {
        let RetryBudget { percent, min_per_second, window } = budget;
        let window = window.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Self {
            percent,
            reserve: u128::from(min_per_second) * window.as_millis() * 100,
            began: Instant::now(),
            step: window / STEPS as u32,
            requests: std::array::from_fn(|_| AtomicU64::new(0)),
            retries: Lock::default(),
        }
    }

    /// Counts a request that may be retried.
    pub(super) fn deposit(&self) {
        if self.percent == 0 {
            return;
        }
        let now = self.now();
        let Some(counted) = self.requests.get(now as usize % STEPS) else { return };
        let add = |counted| Some(Count::of(counted).plus_one(now).packed());
        // `add` always returns a value.
        let _before = counted.fetch_update(Relaxed, Relaxed, add);
    }

    /// Counts a retry if the budget has one left.
    pub(super) fn withdraw(&self) -> bool {
        let now = self.now();
        let mut counted = self.retries.lock();
        let retries: u64 = counted.iter().map(|retries| retries.within(now)).sum();
        let requests: u64 =
            self.requests.iter().map(|count| Count::of(count.load(Relaxed)).within(now)).sum();
        let earned = u128::from(requests) * u128::from(self.percent) * 1_000;
        let is_left = u128::from(retries + 1) * 100_000 <= earned + self.reserve;
        if is_left && let Some(retries) = counted.get_mut(now as usize % STEPS) {
            *retries = retries.plus_one(now);
        }
        is_left
    }

    /// Returns the number of the present step.
    fn now(&self) -> u32 {
        let steps = self.began.elapsed().as_nanos() / self.step.as_nanos().max(1);
        // The number begins again after 13 years.
        steps as u32
    }
}

impl Count {
    const fn of(packed: u64) -> Self {
        Self { step: (packed >> 32) as u32, count: packed as u32 }
    }

    const fn packed(self) -> u64 {
        (self.step as u64) << 32 | self.count as u64
    }

    /// Returns the count with one more. A count of an earlier step is over.
    const fn plus_one(self, now: u32) -> Self {
        let count = if self.step == now { self.count } else { 0 };
        Self { step: now, count: count.saturating_add(1) }
    }

    /// Returns the count if its step is in the window.
    const fn within(self, now: u32) -> u64 {
        if now.wrapping_sub(self.step) < STEPS as u32 { self.count as u64 } else { 0 }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("percent", &self.percent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn budget(percent: u16, min_per_second: u32, seconds: u64) -> Budget {
        let budget = RetryBudget::new().percent(percent).min_per_second(min_per_second);
        Budget::new(budget.window(Duration::from_secs(seconds)))
    }

    fn retries(budget: &Budget) -> u32 {
        std::iter::repeat_with(|| budget.withdraw()).take_while(|is_left| *is_left).count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn the_percentage_is_exact() {
        for percent in [0, 1, 7, 20, 33, 50, 51, 60, 67, 99, 100, 101, 150, 1_000, u16::MAX] {
            for requests in [1_u32, 3, 10, 99, 100, 1_000] {
                let budget = budget(percent, 0, 10);
                (0..requests).for_each(|_| budget.deposit());
                assert_eq!(retries(&budget), requests * u32::from(percent) / 100, "{percent}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_moves_on() {
        let budget = budget(50, 0, 10);
        (0..10).for_each(|_| budget.deposit());
        advance(Duration::from_secs(9)).await;
        assert!(budget.withdraw());
        advance(Duration::from_secs(1)).await;
        // The requests are too long ago.
        assert!(!budget.withdraw());
        (0..10).for_each(|_| budget.deposit());
        // The one of a second ago is in the window.
        assert_eq!(retries(&budget), 4);
        advance(Duration::from_secs(9)).await;
        assert_eq!(retries(&budget), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_minimum_is_left_in_any_case() {
        let budget = budget(0, 2, 5);
        assert_eq!(retries(&budget), 10);
        advance(Duration::from_millis(4_900)).await;
        assert_eq!(retries(&budget), 0);
        advance(Duration::from_millis(100)).await;
        assert_eq!(retries(&budget), 10);
        let both = self::budget(30, u32::MAX, 60);
        both.deposit();
        assert!(both.withdraw());
    }

    #[test]
    fn threads_withdraw_no_more_than_there_is() {
        let budget = budget(60, 0, 60);
        let granted: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..250).for_each(|_| budget.deposit());
                        (0..250).filter(|_| budget.withdraw()).count() as u32
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(granted <= 600, "{granted}");
        assert_eq!(granted + retries(&budget), 600);
    }

    proptest! {
        #[test]
        fn no_schedule_exceeds_the_percentage(
            percent in 0..300_u16,
            steps in proptest::collection::vec((0..1_500_u64, 0..8_u32, 0..8_u32), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let budget = budget(percent, 0, 5);
                let (mut requests, mut retries) = (Vec::new(), Vec::new());
                let mut time = 0_u64;
                for (after, sent, failed) in steps {
                    advance(Duration::from_millis(after)).await;
                    time += after;
                    for _ in 0..sent {
                        budget.deposit();
                        requests.push(time);
                    }
                    for _ in 0..failed {
                        if !budget.withdraw() {
                            continue;
                        }
                        retries.push(time);
                        let within = |times: &[u64], window: u64| {
                            times.iter().filter(|at| **at + window > time).count() as u64
                        };
                        // The retries of the window without its oldest step, and its requests.
                        let (few, all) = (within(&retries, 4_500), within(&requests, 5_000));
                        assert!(few * 100 <= all * u64::from(percent), "{few} of {all}");
                    }
                }
            });
        }
    }
}
