use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;

use super::{
    backend::{MemoryBackend, RETRY_FULL},
    settings::{MemoryStore, OverflowPolicy},
};
use crate::{
    clock::{FakeClock, SharedClock},
    limits::{
        kind::{Allowance, Concurrency, Quota, Rate},
        store::{
            backend::Backend as _,
            permit::{PermitOutcome, PermitRequest, Settlement},
        },
    },
};

const DAY: u64 = 86_400;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn store(capacity: usize) -> (MemoryBackend, FakeClock) {
    let clock = FakeClock::new(at(20_000 * DAY + DAY / 2));
    let settings = MemoryStore::new().max_keys(capacity).clock(SharedClock::new(clock.clone()));
    (MemoryBackend::new(settings), clock)
}

fn request(
    memory: &MemoryBackend,
    key: u64,
    allowance: impl Into<Allowance>,
    cost: u64,
) -> PermitRequest {
    PermitRequest {
        key: memory.hasher.key([&key.to_le_bytes()[..]]),
        overflow: memory.hasher.key([&b"overflow"[..]]),
        allowance: allowance.into(),
        cost,
        enforced: true,
    }
}

fn settlement(request: &PermitRequest, outcome: &PermitOutcome, permits: i64) -> Settlement {
    let PermitRequest { key, overflow, allowance, .. } = *request;
    Settlement { key, overflow, allowance, window: outcome.window, permits }
}

#[test]
fn waits_are_exact() {
    let (memory, clock) = store(100);
    let rate = Rate::per_minute(7).burst(5);
    let one = request(&memory, 1, rate, 3);
    assert!(memory.decide_now(&[one], true).passes);
    let wait = memory.decide_now(&[one], true).outcomes[0].retry_after;
    clock.advance(wait - Duration::from_nanos(1));
    assert!(!memory.decide_now(&[one], true).passes);
    clock.advance(Duration::from_nanos(1));
    assert!(memory.decide_now(&[one], true).passes);
}

#[test]
fn a_rejection_takes_nothing_of_other_counters() {
    let (memory, _) = store(100);
    let wide = request(&memory, 1, Rate::per_hour(10), 1);
    let narrow = request(&memory, 2, Rate::per_hour(1), 1);
    assert!(memory.decide_now(&[wide, narrow], true).passes);
    assert!(!memory.decide_now(&[wide, narrow], true).passes);
    assert_eq!(memory.decide_now(&[wide], false).outcomes[0].remaining, 9);

    // A limit in shadow rejects nothing.
    let shadow = PermitRequest { enforced: false, ..narrow };
    let decision = memory.decide_now(&[wide, shadow], true);
    assert!(decision.passes && !decision.outcomes[1].allows);
    assert_eq!(decision.outcomes[0].remaining, 8);
}

/// A caller that joins on the 20th has less in that month and the whole limit afterwards.
#[test]
fn the_first_period_is_shorter_by_its_offset() {
    let (memory, clock) = store(100);
    let joined = at(20_000 * DAY);
    let one = request(&memory, 1, Quota::per_day(10).first_period_offset(7, joined), 1);
    let passed =
        |memory: &MemoryBackend| (0..20).filter(|_| memory.decide_now(&[one], true).passes).count();
    assert_eq!(passed(&memory), 3);
    let told = memory.decide_now(&[one], true).outcomes[0];
    assert_eq!((told.capacity, told.retry_after), (3, Duration::from_secs(DAY / 2)));
    clock.advance(told.retry_after);
    assert_eq!(passed(&memory), 10);
}

/// Requests for the same limits in the opposite order take the locks in the same order.
#[test]
fn opposite_orders_do_not_deadlock() {
    let (memory, _) = store(100_000);
    let requests: Vec<PermitRequest> =
        (0..64).map(|key| request(&memory, key, Quota::per_day(1_000_000), 1)).collect();
    let opposite: Vec<PermitRequest> = requests.iter().rev().copied().collect();
    std::thread::scope(|scope| {
        for requests in [&requests, &opposite] {
            let memory = &memory;
            scope.spawn(move || {
                for _ in 0..2_000 {
                    assert!(memory.decide_now(requests, true).passes);
                }
            });
        }
    });
    for one in requests {
        assert_eq!(memory.decide_now(&[one], false).outcomes[0].remaining, 996_000);
    }
}

#[test]
fn the_overflow_is_not_swept_into_a_fresh_burst() {
    let (memory, clock) = store(1);
    let known = request(&memory, 1, Quota::per_day(1_000), 1);
    let stranger = |key| request(&memory, key, Quota::per_day(2), 1);
    assert!(memory.decide_now(&[known], true).passes);
    assert!(memory.decide_now(&[stranger(2)], true).passes);
    assert!(memory.decide_now(&[stranger(3)], true).passes);
    for key in 4..1_000 {
        clock.advance(Duration::from_secs(1));
        assert!(memory.decide_now(&[known], true).passes, "its own counter is there");
        assert!(!memory.decide_now(&[stranger(key)], true).passes, "all of them share two");
    }
}

/// An idle counter was evicted. Permits that are given back to it go to no other.
#[test]
fn permits_of_an_evicted_counter_are_given_to_no_other() {
    let (memory, clock) = store(1);
    let gone = request(&memory, 1, Rate::per_hour(10), 10);
    let outcome = memory.decide_now(&[gone], true).outcomes[0];
    clock.advance(Duration::from_secs(7_200));
    let known = request(&memory, 2, Quota::per_day(1_000), 1);
    assert!(memory.decide_now(&[known], true).passes, "the first one has made room");
    let stranger = request(&memory, 3, Rate::per_hour(10), 10);
    assert!(memory.decide_now(&[stranger], true).passes);
    assert!(!memory.decide_now(&[stranger], true).passes);
    memory.settle(&[settlement(&gone, &outcome, -10)]);
    assert!(!memory.decide_now(&[stranger], true).passes);
}

#[test]
fn debug_output_holds_no_key() {
    let (memory, _) = store(100);
    let one = request(&memory, 1, Rate::per_second(1), 1);
    assert!(memory.decide_now(&[one], true).passes);
    assert_eq!(format!("{memory:?}"), "Memory { keys: 1, max_keys: 100, .. }");
}

#[test]
fn two_threads_take_all_or_nothing() {
    let (memory, _) = store(100_000);
    let requests = [
        request(&memory, 1, Quota::per_day(100), 1),
        request(&memory, 2, Quota::per_day(1_000), 1),
        request(&memory, 3, Quota::per_day(1_000), 1),
    ];
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let mut requests = requests;
            requests.rotate_left(turn % 3);
            let (memory, passed) = (&memory, &passed);
            scope.spawn(move || {
                for _ in 0..200 {
                    let passes = memory.decide_now(&requests, true).passes;
                    passed.fetch_add(usize::from(passes), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
    assert_eq!(memory.decide_now(&requests, false).outcomes[1].remaining, 900);
    assert_eq!(memory.decide_now(&requests, false).outcomes[2].remaining, 900);
}

#[test]
fn a_changed_wall_clock_neither_grants_twice_nor_locks_out() {
    let (memory, clock) = store(100);
    let one = request(&memory, 1, Quota::per_day(1), 1);
    assert!(memory.decide_now(&[one], true).passes);
    clock.set_wall(at(20_001 * DAY + DAY / 2));
    assert!(!memory.decide_now(&[one], true).passes);
    clock.set_wall(at(20_000 * DAY + DAY / 2 - 10));
    assert!(!memory.decide_now(&[one], true).passes);
    let wait = memory.decide_now(&[one], true).outcomes[0].retry_after;
    clock.advance(wait);
    // Ten seconds are left to midnight, and sweeping does not evict the window.
    for _ in 0..10 {
        assert!(!memory.decide_now(&[one], true).passes);
    }
    let wait = memory.decide_now(&[one], true).outcomes[0].retry_after;
    assert_eq!(wait, Duration::from_secs(10));
    clock.advance(wait);
    assert!(memory.decide_now(&[one], true).passes);
    assert!(!memory.decide_now(&[one], true).passes);
    // Back over midnight: the old window is not opened again.
    clock.set_wall(at(20_000 * DAY + DAY - 10));
    assert!(!memory.decide_now(&[one], true).passes);
}

/// Even the largest usage locks a caller out for two windows at most.
#[test]
fn debt_is_at_most_one_window() {
    for permits in [11, 1_000_000, i64::MAX] {
        let (memory, clock) = store(100);
        let day = request(&memory, 1, Quota::per_day(10), 1);
        let minute = request(&memory, 2, Rate::per_minute(60).burst(10), 1);
        for one in [day, minute] {
            let outcome = memory.decide_now(&[one], true).outcomes[0];
            for _ in 0..3 {
                memory.settle(&[settlement(&one, &outcome, permits)]);
            }
        }
        // The rest of this day, and all of the next; ten seconds of debt, and one for a permit.
        let waits = [DAY / 2 + DAY, 11].map(Duration::from_secs);
        for (one, wait) in [day, minute].into_iter().zip(waits) {
            assert_eq!(memory.decide_now(&[one], true).outcomes[0].retry_after, wait, "{permits}");
        }
        clock.advance(waits[0]);
        assert!(memory.decide_now(&[day, minute], true).passes);
    }
}

/// A reservation never exceeds the capacity, so a lost one costs one window at most.
#[test]
fn a_cost_beyond_the_capacity_never_passes() {
    let (memory, _) = store(100);
    let allowances: [Allowance; 3] =
        [Rate::per_hour(10).into(), Quota::per_day(10).into(), Concurrency::new(10).into()];
    for (key, allowance) in (0..).zip(allowances) {
        for cost in [11, 4_000_000_000, u64::MAX] {
            let told = memory.decide_now(&[request(&memory, key, allowance, cost)], true);
            assert!(
                !told.passes && !told.outcomes[0].retry_after.is_zero(),
                "{allowance:?}: {cost}"
            );
            assert_eq!(told.outcomes[0].remaining, 10);
        }
        assert!(memory.decide_now(&[request(&memory, key, allowance, 10)], true).passes);
    }
}

#[test]
fn debt_is_carried_over_to_later_windows() {
    let (memory, clock) = store(100);
    let one = request(&memory, 1, Quota::per_day(10), 1);
    let outcome = memory.decide_now(&[one], true).outcomes[0];
    memory.settle(&[settlement(&one, &outcome, 14)]);
    // 15 of 10: half of the next day is used up as well.
    let told = memory.decide_now(&[one], true).outcomes[0];
    assert_eq!(told.retry_after, Duration::from_secs(DAY / 2));
    clock.advance(told.retry_after - Duration::from_nanos(1));
    assert!(!memory.decide_now(&[one], true).passes);
    clock.advance(Duration::from_nanos(1));
    let told = memory.decide_now(&[one], true).outcomes[0];
    assert_eq!((told.allows, told.remaining), (true, 4));
    // Permits of an old window are not given back.
    memory.settle(&[settlement(&one, &outcome, -5)]);
    assert_eq!(memory.decide_now(&[one], false).outcomes[0].remaining, 4);
    memory.settle(&[settlement(&one, &told, -5)]);
    assert_eq!(memory.decide_now(&[one], false).outcomes[0].remaining, 9);
}

/// The first request comes while the wall clock is a day ahead, so its window is tomorrow's. When that
/// window's time is over, the real tomorrow is a new window.
#[test]
fn a_window_of_a_clock_that_was_ahead_ends_in_time() {
    let (memory, clock) = store(100);
    clock.set_wall(at(20_001 * DAY + DAY / 2));
    let one = request(&memory, 1, Quota::per_day(1), 1);
    assert!(memory.decide_now(&[one], true).passes);
    clock.set_wall(at(20_000 * DAY + DAY / 2));
    assert!(!memory.decide_now(&[one], true).passes);
    clock.advance(Duration::from_secs(DAY / 2));
    assert!(memory.decide_now(&[one], true).passes);
    assert!(!memory.decide_now(&[one], true).passes);
}

#[test]
fn the_debt_of_an_absent_caller_is_evicted() {
    let (memory, clock) = store(100);
    let one = request(&memory, 1, Quota::per_day(1), 1);
    let outcome = memory.decide_now(&[one], true).outcomes[0];
    memory.settle(&[settlement(&one, &outcome, 1_000_000)]);
    let other = request(&memory, 2, Rate::per_second(1), 1);
    // The rest of its day, and the longest window.
    clock.advance(Duration::from_secs(31 * DAY));
    for _ in 0..100 {
        memory.decide_now(&[other], true);
    }
    assert_eq!(memory.count.load(Ordering::Relaxed), 2);
    clock.advance(Duration::from_secs(2 * DAY));
    for _ in 0..100 {
        memory.decide_now(&[other], true);
    }
    assert_eq!(memory.count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_store_shares_or_rejects_and_evicts_no_key_in_use() {
    let rate = Rate::per_hour(2);
    let (mut memory, clock) = store(1);
    let [known, new, newer] = [1, 2, 3].map(|key| request(&memory, key, rate, 1));
    let busy = request(&memory, 1, Concurrency::new(1), 1);
    assert!(memory.decide_now(&[known], true).passes);
    assert!(memory.decide_now(&[new], true).passes);
    assert!(memory.decide_now(&[newer], true).passes);
    assert!(!memory.decide_now(&[new], true).passes);
    assert_eq!(memory.decide_now(&[known], false).outcomes[0].remaining, 1);

    memory.overflow_policy = OverflowPolicy::Reject;
    let told = memory.decide_now(&[new], true);
    assert!(!told.passes);
    assert_eq!(told.outcomes[0].retry_after, RETRY_FULL);

    // Requests evict idle keys.
    clock.advance(Duration::from_secs(3_600));
    assert!(memory.decide_now(&[new], true).passes);
    assert_eq!(memory.count.load(Ordering::Relaxed), 1);

    // A permit that was taken from the overflow counter is given back to it.
    memory.overflow_policy = OverflowPolicy::Share;
    let outcome =
        memory.decide_now(&[PermitRequest { overflow: busy.key, ..busy }], true).outcomes[0];
    assert!(outcome.allows);
    let back = settlement(&PermitRequest { overflow: busy.key, ..busy }, &outcome, -1);
    memory.settle(&[back]);
    assert!(memory.decide_now(&[PermitRequest { overflow: busy.key, ..busy }], true).passes);
}

#[test]
fn a_new_key_does_not_evict_a_key_of_the_same_request() {
    let (memory, clock) = store(2);
    let [idle, one, other] = [1, 2, 3].map(|key| request(&memory, key, Rate::per_second(1), 1));
    assert!(memory.decide_now(&[idle], true).passes);
    clock.advance(Duration::from_secs(1));
    assert!(memory.decide_now(&[one, other], true).passes);
    assert!(!memory.decide_now(&[one], true).passes);
    assert!(!memory.decide_now(&[other], true).passes);
}

#[test]
fn a_frequent_caller_keeps_its_key_while_there_is_room() {
    let (memory, clock) = store(1_000);
    let fast = Rate::per_second(1_000_000);
    let [one, other] = [1, 2].map(|key| request(&memory, key, fast, 1));
    let held = request(&memory, 3, Concurrency::new(1), 1);
    clock.advance(Duration::from_secs(60));
    memory.decide_now(&[one], true);
    let outcome = memory.decide_now(&[held], true).outcomes[0];
    memory.settle(&[settlement(&held, &outcome, -1)]);
    let known = |after| {
        clock.advance(Duration::from_millis(after));
        for _ in 0..100 {
            memory.decide_now(&[other], true);
        }
        memory.count.load(Ordering::Relaxed)
    };
    assert_eq!(known(9), 3);
    assert_eq!(known(3), 1);
}

#[test]
fn an_idle_store_is_swept_by_requests() {
    // Few keys have one shard.
    let (memory, clock) = store(1_000);
    for key in 0..900 {
        memory.decide_now(&[request(&memory, key, Rate::per_second(1), 1)], true);
    }
    assert_eq!(memory.count.load(Ordering::Relaxed), 900);
    clock.advance(Duration::from_secs(60));
    for _ in 0..1_000 {
        memory.decide_now(&[request(&memory, 0, Rate::per_second(1), 1)], true);
    }
    assert_eq!(memory.count.load(Ordering::Relaxed), 1);
}

#[test]
fn parallel_requests_get_the_burst_and_the_growth() {
    const BURST: u32 = 200;
    let memory = MemoryBackend::new(MemoryStore::new());
    let one = request(&memory, 1, Rate::per_second(1_000).burst(BURST), 1);
    let passed = AtomicUsize::new(0);
    let start = memory.clock.monotonic();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..BURST / 2 {
                    let passes = memory.decide_now(&[one], true).passes;
                    passed.fetch_add(usize::from(passes), Ordering::Relaxed);
                }
            });
        }
    });
    let took = memory.clock.monotonic() - start;
    let (passed, burst) = (passed.into_inner() as u128, u128::from(BURST));
    assert!((burst..=burst + took.as_millis() + 1).contains(&passed), "{passed} in {took:?}");
}

#[test]
fn a_million_principals_take_at_most_64_bytes_each() {
    let (memory, _) = store(1_000_000);
    let used = allocation_counter::measure(|| {
        for key in 0..1_000_000 {
            assert!(memory.decide_now(&[request(&memory, key, Rate::per_hour(1), 1)], true).passes);
        }
    });
    let each = used.bytes_current / 1_000_000;
    eprintln!("{each} bytes a key");
    assert!((32..=64).contains(&each), "{each}");
    let known = allocation_counter::measure(|| {
        for key in 0..1_000 {
            memory.decide_now(&[request(&memory, key, Rate::per_hour(1), 1)], true);
        }
    });
    assert_eq!(known.count_total, 0);
}

#[test]
fn extremes_neither_overflow_nor_panic() {
    let (memory, clock) = store(100);
    let rates = [(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1), (0, 9), (9, 0)];
    for (key, (permits, burst)) in (0..).zip(rates) {
        let one = request(&memory, key, Rate::per_day(permits).burst(burst), u64::MAX);
        let outcome = memory.decide_now(&[one], true).outcomes[0];
        for permits in [i64::MAX, i64::MAX, i64::MIN] {
            memory.settle(&[settlement(&one, &outcome, permits)]);
            memory.decide_now(&[one], true);
        }
    }
    for (key, limit) in (10..).zip([0, 1, u64::MAX]) {
        let one = request(&memory, key, Quota::per_month(limit), u64::MAX);
        let outcome = memory.decide_now(&[one], true).outcomes[0];
        for permits in [i64::MAX, i64::MAX, i64::MIN] {
            memory.settle(&[settlement(&one, &outcome, permits)]);
            memory.decide_now(&[one], true);
            clock.set_wall(at(1 << 50));
        }
    }
}

proptest! {
    #[test]
    fn a_bucket_is_the_reference_bucket(
        permits in 1_u64..1_000,
        burst in 1_u64..50,
        steps in prop::collection::vec((0_u64..3_000_000_000, 0_u64..60, -20_i64..20), 1..200),
    ) {
        let (memory, clock) = store(100);
        let rate = Rate::per_minute(permits as u32).burst(burst as u32);
        // The available permits in ns of growth. A permit takes `each` of them.
        let each = i128::from(60_000_000_000_u64.div_ceil(permits));
        let full = i128::from(burst) * each;
        let mut there = full;
        for (pause, cost, settled) in steps {
            clock.advance(Duration::from_nanos(pause));
            there = (there + i128::from(pause)).min(full);
            let one = request(&memory, 1, rate, cost);
            let told = memory.decide_now(&[one], true).outcomes[0];
            let needed = i128::from(cost.clamp(1, burst)) * each;
            let fits = cost <= burst;
            prop_assert_eq!(told.allows, fits && there >= needed);
            let wait = u64::try_from((needed - there).max(0)).unwrap();
            prop_assert!(!fits || told.retry_after == Duration::from_nanos(wait));
            if told.allows {
                there -= i128::from(cost) * each;
                memory.settle(&[settlement(&one, &told, settled)]);
                there = (there - i128::from(settled) * each).clamp(-full, full);
            }
            let left = memory.decide_now(&[one], false).outcomes[0].remaining;
            prop_assert_eq!(i128::from(left), (there.max(0)) / each);
        }
    }
}
