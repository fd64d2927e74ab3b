//! The script on real servers, at times that the test chooses. The line that reads the time is
//! replaced.

use std::fmt::Display;

use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    server::{Brand, Server},
    wire::{Reply, Wire},
};

const SCRIPT: &str = include_str!("../../src/limits/store/redis/script.lua");

/// 2026-01-01, where the script's own time begins.
const EPOCH: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

struct Script {
    text: String,
    wire: Wire,
    _server: Server,
}

/// One key's part of a call.
#[derive(Clone, Copy)]
struct Row {
    kind: &'static str,
    // A rate's interval in microseconds, a quota's first window.
    first: i64,
    most: u64,
    offset: u64,
    cost: i64,
    enforced: bool,
    window: i64,
    ahead: u64,
    // What the caller has counted itself: how much, in which window, after which reset.
    own: (u64, i64, u64),
}

#[derive(Debug, Eq, PartialEq)]
struct Told {
    allows: bool,
    remaining: i64,
    most: i64,
    wait: i64,
    reset: i64,
    window: i64,
    ahead: i64,
    last_reset: i64,
    restored: bool,
}

fn rate(interval: i64, most: u64, cost: i64) -> Row {
    Row {
        kind: "r",
        first: interval,
        most,
        // Of debt, one fill of the bucket.
        offset: most * interval as u64,
        cost,
        enforced: true,
        window: 0,
        ahead: 0,
        own: (0, 0, 0),
    }
}

fn quota(kind: &'static str, most: u64, cost: i64) -> Row {
    Row { kind, first: -1, offset: 0, ..rate(0, most, cost) }
}

fn on_both(test: impl Fn(&mut Script)) {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let asked = "redis.call('TIME')";
        assert_eq!(SCRIPT.matches(asked).count(), 1);
        let text = SCRIPT.replace(asked, "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
        let wire = server.wire();
        test(&mut Script { text, wire, _server: server });
    }
}

impl Script {
    /// At so many microseconds after so many seconds since 1970.
    fn run(&mut self, mode: &str, at: (u64, u64), rows: &[(&str, Row)]) -> (bool, Vec<Told>) {
        let mut words = vec!["EVAL".to_owned(), self.text.clone(), rows.len().to_string()];
        let mut push = |word: &dyn Display| words.push(word.to_string());
        rows.iter().for_each(|(key, _)| push(key));
        push(&mode);
        for (_, row) in rows {
            push(&row.kind);
            push(&row.first);
            push(&row.most);
            push(&row.offset);
            push(&row.cost);
            push(&u8::from(row.enforced));
            push(&row.window);
            push(&row.ahead);
            push(&row.own.0);
            push(&row.own.1);
            push(&row.own.2);
        }
        push(&at.0);
        push(&at.1);
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let reply = self.wire.try_ask(&words).unwrap();
        assert!(matches!(reply, Reply::List(_)), "{reply:?}");
        let numbers: Vec<i64> = reply.list().iter().map(Reply::number).collect();
        if mode == "r" {
            return (true, Vec::new());
        }
        assert_eq!(numbers.len(), 1 + 9 * rows.len());
        let told = numbers[1..].chunks(9).map(|told| Told {
            allows: told[0] == 1,
            remaining: told[1],
            most: told[2],
            wait: told[3],
            reset: told[4],
            window: told[5],
            ahead: told[6],
            last_reset: told[7],
            restored: told[8] == 1,
        });
        (numbers[0] == 1, told.collect())
    }

    fn one(&mut self, mode: &str, at: (u64, u64), row: Row) -> Told {
        let (_, mut told) = self.run(mode, at, &[("{n}:v1:key", row)]);
        told.remove(0)
    }

    fn lives(&mut self) -> i64 {
        self.wire.must("PTTL {n}:v1:key").number()
    }

    fn forget(&mut self) {
        self.wire.must("FLUSHALL");
    }
}

/// Every day's window, told by counting days: (month, first of it, first of the next).
fn months() -> Vec<(i64, u64, u64)> {
    let mut days = Vec::new();
    let mut first = 0;
    for month in 0..12 * 131 {
        let (year, of_year) = (1970 + month / 12, month % 12 + 1);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match of_year {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        days.extend((0..length).map(|_| (month, first, first + length)));
        first += length;
    }
    days
}

#[test]
fn windows_follow_the_calendar() {
    on_both(|script| {
        let months = months();
        assert_eq!(months[365 * 2 + 31 + 28].0, 25, "1972-02-29");
        let mut before = -1;
        for (day, &(month, first, end)) in months.iter().enumerate().skip(20_000) {
            let day = day as u64;
            // The first and last days of months, and some between.
            if day != first && day + 1 != end && !day.is_multiple_of(11) {
                continue;
            }
            let at = (day * DAY + 86_399, 999_999);
            script.forget();
            let told = script.one("d", at, quota("m", 5, 1));
            assert_eq!(
                (told.window, told.reset),
                (month, ((end - day - 1) * DAY) as i64 * 1_000_000 + 1)
            );
            assert!(told.window >= before && told.allows);
            before = told.window;
            script.forget();
            let told = script.one("d", at, quota("d", 5, 1));
            assert_eq!((told.window, told.reset), (day as i64, 1));
            script.forget();
            let told = script.one("d", at, quota("w", 5, 1));
            // 1970-01-05 was the first Monday, which the second week begins with.
            let week = (day + 3) / 7;
            let left = ((week * 7 + 4 - day - 1) * DAY) as i64 * 1_000_000 + 1;
            assert_eq!((told.window, told.reset), (week as i64, left), "day {day}");
        }
    });
}

#[test]
fn the_first_window_may_be_smaller() {
    on_both(|script| {
        let day = EPOCH / DAY;
        let row = Row { first: day as i64, offset: 3, ..quota("d", 5, 1) };
        for left in [1, 0] {
            let told = script.one("d", (EPOCH, 0), row);
            assert_eq!((told.allows, told.remaining, told.most), (true, left, 2));
        }
        let told = script.one("d", (EPOCH, 0), row);
        assert_eq!((told.allows, told.wait), (false, DAY as i64 * 1_000_000));
        let told = script.one("d", (EPOCH + DAY, 0), row);
        assert_eq!((told.allows, told.remaining, told.most), (true, 4, 5));
    });
}

#[test]
fn overuse_is_carried_over_to_later_windows() {
    on_both(|script| {
        // Eight of five in January: three in February, none in March.
        let january = (EPOCH + 30 * DAY, 0);
        let row = quota("m", 5, 8);
        assert!(script.one("s", january, row).allows);
        let told = script.one("d", january, quota("m", 5, 1));
        // Until the first of February, when there are two left.
        assert_eq!((told.allows, told.wait), (false, DAY as i64 * 1_000_000));
        assert!(script.lives() > 29 * DAY as i64 * 1_000);
        let february = (EPOCH + 31 * DAY, 0);
        let told = script.one("d", february, quota("m", 5, 1));
        assert_eq!((told.allows, told.remaining), (true, 1));
        let march = (EPOCH + 59 * DAY, 0);
        assert_eq!(script.one("l", march, quota("m", 5, 0)).remaining, 5);
        let april = (EPOCH + 90 * DAY, 0);
        assert_eq!(script.one("l", april, quota("m", 5, 0)).remaining, 5);

        // What is given back of a window that is over is of no use to the next.
        let told = script.one("d", april, quota("m", 5, 4));
        let refund = |window| Row { window, ..quota("m", 5, -3) };
        let may = (EPOCH + 120 * DAY, 0);
        script.one("s", april, refund(told.window));
        assert_eq!(script.one("l", april, quota("m", 5, 0)).remaining, 4);
        script.one("d", may, quota("m", 5, 2));
        script.one("s", may, refund(told.window));
        assert_eq!(script.one("l", may, quota("m", 5, 0)).remaining, 3);
    });
}

#[test]
fn debt_is_at_most_one_window() {
    on_both(|script| {
        let now = (EPOCH, 0);
        for permits in [6, 1_000_000, 1 << 52] {
            script.forget();
            for _ in 0..3 {
                script.one("s", now, quota("d", 5, permits));
            }
            let told = script.one("d", now, quota("d", 5, 1));
            assert_eq!((told.allows, told.wait), (false, (2 * DAY) as i64 * 1_000_000));
            assert!(script.one("d", (EPOCH + 2 * DAY, 0), quota("d", 5, 5)).allows);

            script.forget();
            for _ in 0..3 {
                script.one("s", now, rate(1_000_000, 5, permits));
            }
            // Five seconds of debt, and one for the permit.
            let told = script.one("d", now, rate(1_000_000, 5, 1));
            assert_eq!((told.allows, told.wait), (false, 6_000_000));
        }
    });
}

#[test]
fn a_longer_debt_is_kept_by_later_decisions() {
    on_both(|script| {
        let row = |cost| Row { offset: 100_000_000, ..rate(1_000_000, 5, cost) };
        for (permits, owed) in [(30, 26_000_000), (1 << 52, 101_000_000)] {
            script.forget();
            script.one("s", (EPOCH, 0), row(permits));
            for _ in 0..2 {
                let told = script.one("d", (EPOCH, 0), row(1));
                assert_eq!((told.allows, told.wait), (false, owed));
            }
            assert!(!script.one("d", (EPOCH + owed as u64 / 1_000_000 - 1, 0), row(1)).allows);
            assert!(script.one("d", (EPOCH + owed as u64 / 1_000_000, 0), row(1)).allows);
        }
    });
}

#[test]
fn a_cost_beyond_the_capacity_never_passes() {
    on_both(|script| {
        for cost in [6, 4_000_000_000, 1 << 52] {
            for row in [rate(1_000_000, 5, cost), quota("d", 5, cost)] {
                let (passes, told) = script.run("d", (EPOCH, 0), &[("{n}:v1:key", row)]);
                assert!(!passes && told[0].wait > 0, "{told:?}");
                assert_eq!(told[0].remaining, 5);
            }
        }
        assert!(script.one("d", (EPOCH, 0), rate(1_000_000, 5, 5)).allows);
        script.forget();
        assert!(script.one("d", (EPOCH, 0), quota("d", 5, 5)).allows);
    });
}

/// A server that has lost its keys counts no less than the replica has counted there.
#[test]
fn the_replicas_count_is_never_granted_again() {
    let today = (EPOCH / DAY) as i64;
    on_both(|script| {
        let now = (EPOCH, 0);
        let row = Row { own: (4, today, 0), ..quota("d", 5, 1) };
        let told = script.one("d", now, row);
        assert_eq!((told.allows, told.remaining, told.restored), (true, 0, true));
        // Others see it as well.
        assert!(!script.one("d", now, quota("d", 5, 1)).allows);
        // The greater of both, and not their sum.
        let told = script.one("l", now, Row { own: (3, today, 0), ..quota("d", 5, 0) });
        assert_eq!((told.remaining, told.restored), (0, false));
        script.forget();
        assert_eq!(script.one("l", now, Row { cost: 0, ..row }).remaining, 1);
        assert!(script.wire.must("KEYS *").list().is_empty(), "a look writes nothing");

        // Debt is carried from the caller's older window; anything else is not.
        let tomorrow = (EPOCH + DAY, 0);
        let told = script.one("l", tomorrow, Row { own: (8, today, 0), ..quota("d", 5, 0) });
        assert_eq!(told.remaining, 2);
        script.forget();
        assert_eq!(script.one("l", tomorrow, Row { cost: 0, ..row }).remaining, 5);
        // A server whose clock was set back after it lost its keys.
        let back = (EPOCH - 10 * DAY, 0);
        assert!(!script.one("d", back, Row { own: (5, today, 0), ..quota("d", 5, 1) }).allows);

        script.forget();
        let rated = Row { own: (3_000_000, 0, 0), ..rate(1_000_000, 5, 1) };
        let told = script.one("d", now, rated);
        assert_eq!((told.allows, told.remaining, told.restored), (true, 1, true));
        assert_eq!(script.one("l", now, rate(1_000_000, 5, 0)).remaining, 1);
        // Not more than a window of debt.
        script.forget();
        let told = script.one("d", now, Row { own: (1 << 50, 0, 0), ..rate(1_000_000, 5, 1) });
        assert_eq!((told.allows, told.wait), (false, 6_000_000));
    });
}

/// A settlement is counted once, whether the server has lost its keys or not.
#[test]
fn settlements_carry_the_replicas_count() {
    let today = (EPOCH / DAY) as i64;
    let now = (EPOCH, 0);
    on_both(|script| {
        for lost in [false, true] {
            // Six were counted; two are given back, of which the caller has none any more.
            script.forget();
            script.one("d", now, quota("d", 10, 6));
            if lost {
                script.forget();
            }
            let back = Row { window: today, own: (4, today, 0), ..quota("d", 10, -2) };
            script.one("s", now, back);
            assert_eq!(script.one("l", now, quota("d", 10, 0)).remaining, 6, "{lost}");
            // Three more are taken, which the caller has not counted yet.
            let more = Row { window: today, own: (4, today, 0), ..quota("d", 10, 3) };
            script.one("s", now, more);
            assert_eq!(script.one("l", now, quota("d", 10, 0)).remaining, 3, "{lost}");

            script.forget();
            script.one("d", now, rate(1_000_000, 10, 6));
            if lost {
                script.forget();
            }
            script.one("s", now, Row { own: (4_000_000, 0, 0), ..rate(1_000_000, 10, -2) });
            assert_eq!(script.one("l", now, rate(1_000_000, 10, 0)).remaining, 6, "{lost}");
            script.one("s", now, Row { own: (4_000_000, 0, 0), ..rate(1_000_000, 10, 3) });
            assert_eq!(script.one("l", now, rate(1_000_000, 10, 0)).remaining, 3, "{lost}");
        }
    });
}

/// An earlier count of another replica does not undo a reset.
#[test]
fn a_reset_outweighs_earlier_counts() {
    let today = (EPOCH / DAY) as i64;
    on_both(|script| {
        for row in [quota("d", 5, 1), rate(1_000_000, 5, 1)] {
            script.forget();
            let now = (EPOCH + 1, 0);
            script.one("d", now, Row { cost: 5, ..row });
            script.run("r", now, &[("{n}:v1:key", row)]);
            let counted = |own, reset| Row { own: (own, today, reset), ..row };
            let five = if row.kind == "r" { 5_000_000 } else { 5 };
            let told = script.one("d", now, counted(five, 0));
            assert_eq!((told.allows, told.remaining, told.restored), (true, 4, false));
            let reset = told.last_reset as u64;
            assert_eq!(reset, 1_000_000);
            assert!(script.lives() > 31 * DAY as i64 * 1_000);
            // Counted after it.
            let two = five / 5 * 2;
            assert_eq!(script.one("l", now, Row { cost: 0, ..counted(two, reset) }).remaining, 3);
            // A second one, in the same microsecond.
            script.run("r", now, &[("{n}:v1:key", row)]);
            let told = script.one("l", now, Row { cost: 0, ..counted(five, reset) });
            assert_eq!((told.remaining, told.last_reset as u64), (5, reset + 1));
            // A server that has lost the reset is told of it.
            script.forget();
            script.one("d", now, Row { cost: 5, ..row });
            let told = script.one("d", now, counted(two, reset));
            assert_eq!((told.allows, told.remaining), (true, 2));
            assert_eq!(told.last_reset as u64, reset);
        }
    });
}

#[test]
fn a_server_clock_that_is_set_back_reopens_no_window() {
    on_both(|script| {
        let now = (EPOCH + 100 * DAY + 5, 0);
        for kind in ["d", "w", "m"] {
            script.forget();
            assert_eq!(script.one("d", now, quota(kind, 5, 5)).remaining, 0);
            let back = (now.0 - 40 * DAY, 0);
            assert!(!script.one("d", back, quota(kind, 5, 1)).allows, "{kind}");
            assert!(!script.one("d", now, quota(kind, 5, 1)).allows, "{kind}");
        }
    });
}

#[test]
fn settlements_of_one_key_in_one_call_are_all_counted() {
    on_both(|script| {
        let (key, row) = ("{n}:v1:key", quota("d", 100, 7));
        script.run("s", (EPOCH, 0), &[(key, row), (key, row), (key, Row { cost: 1, ..row })]);
        assert_eq!(script.one("l", (EPOCH, 0), quota("d", 100, 0)).remaining, 85);
        script.forget();
        let row = rate(1_000, 100, 7);
        script.run("s", (EPOCH, 0), &[(key, row), (key, row), (key, Row { cost: 1, ..row })]);
        assert_eq!(script.one("l", (EPOCH, 0), rate(1_000, 100, 0)).remaining, 85);
    });
}

#[test]
fn limits_in_shadow_reject_nothing_and_take_only_with_the_others() {
    on_both(|script| {
        let shadow = Row { enforced: false, ..rate(1_000_000, 1, 1) };
        let rows = |shadow, enforced| [("{n}:v1:a", shadow), ("{n}:v1:b", enforced)];
        for allows in [true, false] {
            let (passes, told) = script.run("d", (EPOCH, 0), &rows(shadow, rate(1_000_000, 2, 1)));
            assert!(passes);
            assert_eq!((told[0].allows, told[1].allows), (allows, true));
        }
        let later = (EPOCH + 1, 0);
        let (passes, told) = script.run("d", later, &rows(shadow, rate(1_000_000, 0, 1)));
        assert_eq!((passes, told[0].allows), (false, true));
        let (_, told) = script.run("l", later, &rows(Row { cost: 0, ..shadow }, rate(1, 1, 0)));
        assert_eq!(told[0].remaining, 1, "nothing was taken of the shadow");
    });
}

#[test]
fn an_invalid_state_counts_as_none() {
    on_both(|script| {
        let absurd = format!("={}", "9".repeat(400));
        for state in [
            "",
            "nan",
            "inf",
            "x",
            "12:",
            ":",
            "1:-4",
            "99999999999999999999999:1",
            "=",
            "=5",
            "x=5",
            "=-1",
            "=1e5",
            &absurd,
        ] {
            for row in [rate(1_000_000, 3, 1), quota("d", 3, 1)] {
                script.forget();
                let set: [&[u8]; 3] = [b"SET", b"{n}:v1:key", state.as_bytes()];
                script.wire.try_ask(&set).unwrap();
                let told = script.one("d", (EPOCH, 0), row);
                assert!(told.remaining <= 2 && told.most == 3, "{state}: {told:?}");
            }
        }
        script.wire.must("DEL {n}:v1:key");
        script.wire.must("RPUSH {n}:v1:key 1");
        assert!(script.one("d", (EPOCH, 0), rate(1_000_000, 3, 1)).allows);
    });
}

#[test]
fn keys_expire_when_they_have_no_effect() {
    on_both(|script| {
        script.one("d", (EPOCH, 0), rate(1_000_000, 10, 4));
        assert!((4_000..=6_000).contains(&script.lives()));
        script.forget();
        script.one("d", (EPOCH, 0), quota("d", 10, 4));
        let hour = 3_600_000;
        let day = DAY as i64 * 1_000;
        assert!((day..=day + hour).contains(&script.lives()));
        script.forget();
        script.one("s", (EPOCH, 0), quota("d", 1, 1_000_000));
        // Its own day, and that of the debt.
        assert!((2 * day..=2 * day + hour).contains(&script.lives()));
    });
}

/// A bucket in whole microseconds of growing.
struct Bucket {
    interval: u64,
    most: u64,
    // Microseconds of growth that are missing.
    missing: u64,
    last: u64,
}

impl Bucket {
    fn at(&mut self, now: u64) {
        self.missing = self.missing.saturating_sub(now - self.last);
        self.last = now;
    }

    fn take(&mut self, cost: u64, ahead: u64) -> (bool, u64) {
        let needed = cost.max(1) * self.interval;
        let held = self.most * self.interval;
        if self.missing + needed > held {
            return (false, 0);
        }
        self.missing += cost * self.interval;
        let ahead = ahead.min(held.saturating_sub(self.missing) / self.interval);
        self.missing += ahead * self.interval;
        (true, ahead)
    }
}

#[test]
fn rates_match_a_token_bucket() {
    let steps = prop::collection::vec((0_u64..3_000, 0_u64..6, 0_u64..4, -3_i64..4), 1..60);
    let cases = (1_u64..4_000, 1_u64..6, steps);
    on_both(|script| {
        let mut runner = TestRunner::new(ProptestConfig { cases: 48, ..ProptestConfig::default() });
        let script = std::cell::RefCell::new(script);
        let run = |(interval, most, steps): (u64, u64, Vec<_>)| {
            let mut script = script.borrow_mut();
            script.forget();
            let mut bucket = Bucket { interval, most, missing: 0, last: 0 };
            let mut now = 0;
            for (ahead_of, cost, ahead, settled) in steps {
                now += ahead_of;
                let at = (EPOCH + now / 1_000_000, now % 1_000_000);
                bucket.at(now);
                let row = Row { ahead, ..rate(interval as i64, most, cost as i64) };
                let (allows, taken) = bucket.take(cost, if cost == 0 { 0 } else { ahead });
                let told =
                    script.one("d", at, Row { ahead: if cost == 0 { 0 } else { ahead }, ..row });
                prop_assert_eq!((told.allows, told.ahead as u64), (allows, taken));
                let held = most * interval;
                prop_assert_eq!(
                    told.remaining as u64,
                    held.saturating_sub(bucket.missing) / interval
                );
                if !allows && cost <= most {
                    // Waiting so long is enough, and a microsecond less is not.
                    let needed = cost.clamp(1, most) * interval;
                    prop_assert_eq!(told.wait as u64, bucket.missing + needed - held);
                }
                script.one("s", at, rate(interval as i64, most, settled));
                bucket.missing = bucket.missing.saturating_add_signed(settled * interval as i64);
                bucket.missing = bucket.missing.min(2 * held);
            }
            Ok(())
        };
        runner.run(&cases, run).unwrap();
    });
}
