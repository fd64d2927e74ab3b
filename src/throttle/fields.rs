//! What the fields of an answer tell callers of their limits.

use std::{
    fmt::{self, Write as _},
    ops::Deref,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use smallvec::SmallVec;

use super::{
    Allowance,
    allowance::Kind,
    ask::{Ask, Asks, Decision, Standing},
    limits::{Held, Limits, Unit},
    quota::{Period, Quota, Window},
};
use crate::rejection::Rejection;

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MOST: u64 = 999_999_999_999_999;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Which fields tell callers of the limits that are [shown](super::Limit::shown), on answers and on
/// rejections. Concurrency has no window to tell of, and limits in shadow are not told.
///
/// | field | a rate of 10 a second, burst 20 | a quota of 1,000 a day |
/// |---|---|---|
/// | `ratelimit-policy` | `"identity";q=10;w=1` | `"identity";q=1000;w=86400` |
/// | `ratelimit` | `"identity";r=19;t=1` | `"identity";r=999;t=52433` |
///
/// As draft-ietf-httpapi-ratelimit-headers-10 has them: `q` is what a window of `w` seconds allows at
/// the long run (a month has no one length, and no `w`), `r` what is left now, which a burst can
/// bring above `q`, and `t` the seconds, rounded up, until all is there again or, where nothing is
/// left, until one is. The partition key `pk` is left out: callers know whose credentials they sent,
/// and nobody else need be told, not even by a hash.
///
/// They take the place of fields of the same names in the upstream's answer: those tell of the
/// gateway's own account there.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LimitFields {
    /// None. Those of the upstream pass.
    Off,
    /// `ratelimit-policy` and `ratelimit`.
    #[default]
    RateLimit,
    /// `x-ratelimit-limit-requests`, `x-ratelimit-remaining-requests` and
    /// `x-ratelimit-reset-requests`, as OpenAI has them (`-tokens` of budgets): of the limit that has
    /// the least left. The reset is written as `1s`, `6m0s` or `12ms`.
    OpenAi,
    /// Both.
    All,
}

/// `ratelimit-policy`, written down beforehand for most requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    // For each combination of tiers of the limits that are told. In the place of a combination, the
    // first limit's tier counts for one, the next one's for as many as the first has, and so on. Empty
    // where there are too many.
    values: Vec<Option<HeaderValue>>,
}

/// The most combinations of tiers whose policies are kept.
const MOST_POLICIES: usize = 256;

/// That the fields in an answer are an inner layer's of this crate, not an upstream's.
#[derive(Clone, Copy, Debug)]
struct Told;

impl Policy {
    /// Of these limits, in their order.
    pub(super) fn new(held: &[Held], unit: Unit) -> Self {
        let told = || held.iter().filter(|held| is_told(held));
        let count = told()
            .try_fold(1_usize, |count, held| count.checked_mul(held.allowances()))
            .filter(|count| *count <= MOST_POLICIES);
        let write = |mut place: usize| {
            let mut text = Text::default();
            for held in told() {
                let tier = (place % held.allowances()).checked_sub(1);
                place /= held.allowances();
                let (allowance, _) = held.allowance(tier);
                text.policy(&held.label, allowance, quota_most(allowance), unit);
            }
            // Its first clone makes it one that is shared.
            text.value().inspect(|value| drop(value.clone()))
        };
        Self { values: (0..count.unwrap_or_default()).map(write).collect() }
    }

    fn of(&self, held: &[Held], asks: &Asks) -> Option<HeaderValue> {
        if self.values.is_empty() {
            return None;
        }
        let (mut place, mut unit) = (0, 1);
        for (held, ask) in held.iter().zip(asks).filter(|(held, _)| is_told(held)) {
            place += unit * held.tier_of(ask).map_or(0, |tier| usize::from(tier) + 1);
            unit *= held.allowances();
        }
        self.values.get(place)?.clone()
    }
}

/// What one answer tells.
#[derive(Debug)]
pub(super) struct Fields {
    unit: Unit,
    policy: Option<HeaderValue>,
    limit: Option<HeaderValue>,
    // Limit, remaining, reset.
    open_ai: Option<Box<[HeaderValue; 3]>>,
}

impl Fields {
    /// `None` where there is nothing to tell.
    pub(super) fn new(limits: &Limits, asks: &Asks, decision: &Decision) -> Option<Self> {
        let which = limits.fields();
        if which == LimitFields::Off {
            return None;
        }
        let asked = limits.held().iter().zip(asks).zip(&decision.standings);
        let told: SmallVec<[_; 4]> = asked
            .filter(|((held, ask), _)| is_told(held) && has_window(ask))
            .map(|((held, ask), standing)| (held, ask, standing))
            .collect();
        if told.is_empty() {
            return None;
        }
        let told = || told.iter().copied();
        let (mut policy, mut limit, mut open_ai) = (None, None, None);
        if matches!(which, LimitFields::RateLimit | LimitFields::All) {
            let lasting = told().all(|(_, ask, standing)| {
                quota_most(ask.allowance).is_none_or(|most| most == standing.most)
            });
            let written = lasting.then(|| limits.policy().of(limits.held(), asks)).flatten();
            policy = written.or_else(|| {
                let mut text = Text::default();
                for (held, ask, standing) in told() {
                    text.policy(&held.label, ask.allowance, Some(standing.most), limits.unit());
                }
                text.value()
            });
            let mut text = Text::default();
            text.limits(told());
            limit = text.value();
        }
        if matches!(which, LimitFields::OpenAi | LimitFields::All)
            && let Some((_, ask, standing)) =
                told().min_by_key(|(_, _, standing)| standing.remaining)
        {
            let mut text = Text::default();
            text.open_ai_duration(until(ask, standing));
            open_ai = text
                .value()
                .map(|reset| Box::new([standing.most.into(), standing.remaining.into(), reset]));
        }
        Some(Self { unit: limits.unit(), policy, limit, open_ai })
    }

    /// Puts them into an answer.
    pub(super) fn answer<R>(self, response: &mut Response<R>) {
        let extensions = response.extensions();
        let ours = extensions.get::<Told>().is_some() || extensions.get::<Rejection>().is_some();
        let unit = self.unit;
        self.put(ours, response.headers_mut());
        // Layers of tokens lie within those of requests.
        if unit == Unit::Tokens {
            response.extensions_mut().insert(Told);
        }
    }

    /// Puts them beside those that are ours, or in the place of an upstream's.
    pub(super) fn put(self, beside: bool, headers: &mut HeaderMap) {
        for (name, value) in [(POLICY, self.policy), (LIMIT, self.limit)] {
            let Some(value) = value else { continue };
            if beside {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
        if let Some(values) = self.open_ai {
            for (name, value) in open_ai_names(self.unit).into_iter().zip(*values) {
                headers.insert(name, value);
            }
        }
    }
}

/// A name as a String (RFC 9651 section 3.3.3). What that cannot hold becomes `_`.
pub(super) fn label(name: &str) -> String {
    let mut label = String::from('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => label.extend(['\\', character]),
            ' '..='~' => label.push(character),
            _ => label.push('_'),
        }
    }
    label.push('"');
    label
}

fn is_told(held: &Held) -> bool {
    let limit = &held.limit;
    // Tiers may have windows where the limit itself has none, so that asks are looked at, too.
    limit.shown && limit.enforced
}

const fn has_window(ask: &Ask) -> bool {
    !matches!(ask.allowance.0, Kind::Concurrency(_))
}

/// What a quota allows in a window that is not the first.
fn quota_most(allowance: Allowance) -> Option<u64> {
    let of = |quota: Quota| quota.limit_in(Window { number: 0, start: 0, end: 0 });
    match allowance.0 {
        Kind::Quota(quota) => Some(of(quota)),
        Kind::Rate(_) | Kind::Failures(_) | Kind::Concurrency(_) => None,
    }
}

/// Until all is there again; where nothing is left, until one is.
fn until(ask: &Ask, standing: &Standing) -> Duration {
    match ask.allowance.0 {
        Kind::Rate(rate) | Kind::Failures(rate) if standing.remaining == 0 => {
            let Some(interval) = rate.interval() else { return standing.reset.max(standing.wait) };
            let others = u64::from(rate.capacity()).saturating_sub(1).saturating_mul(interval);
            standing.reset.saturating_sub(Duration::from_nanos(others))
        }
        _ => standing.reset,
    }
}

const fn open_ai_names(unit: Unit) -> [HeaderName; 3] {
    match unit {
        Unit::Requests => [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        Unit::Tokens => [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    }
}

// === impl Text ===

/// A value in the making.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn policy(&mut self, label: &str, allowance: Allowance, most: Option<u64>, unit: Unit) {
        let (most, window) = match allowance.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => {
                let (permits, period) = rate.permits();
                (u64::from(permits), Some(period.as_secs()))
            }
            Kind::Quota(quota) => {
                let window = match quota.period() {
                    Period::Day => Some(86_400),
                    Period::Week => Some(7 * 86_400),
                    Period::Month => None,
                };
                (most.unwrap_or_default(), window)
            }
            Kind::Concurrency(_) => return,
        };
        self.member(label);
        self.parameter("q", most);
        // Requests are the draft's default.
        if unit == Unit::Tokens {
            self.0.extend_from_slice(b";qu=\"tokens\"");
        }
        if let Some(window) = window {
            self.parameter("w", window);
        }
    }

    /// The members of `ratelimit`, in one allocation.
    fn limits<'a>(&mut self, told: impl Iterator<Item = (&'a Held, &'a Ask, &'a Standing)>) {
        let mut members = SmallVec::<[_; 4]>::new();
        let mut length = 0;
        for (held, ask, standing) in told {
            let until = until(ask, standing);
            let seconds = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
            let (rest, seconds) = (Digits::of(standing.remaining), Digits::of(seconds));
            length += held.label.len() + ", ;r=;t=".len() + rest.len() + seconds.len();
            members.push((&*held.label, rest, seconds));
        }
        // No separator before the first.
        self.0.reserve_exact(length.saturating_sub(", ".len()));
        for (label, rest, seconds) in &members {
            self.member(label);
            self.0.extend_from_slice(b";r=");
            self.0.extend_from_slice(rest);
            self.0.extend_from_slice(b";t=");
            self.0.extend_from_slice(seconds);
        }
    }

    /// A member of the list.
    fn member(&mut self, label: &str) {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(label.as_bytes());
    }

    fn parameter(&mut self, name: &str, value: u64) {
        self.0.push(b';');
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(&Digits::of(value));
    }

    /// As Go writes durations, which is what OpenAI's fields hold: `12ms`, `1s`, `6m0s`, `1h0m0s`.
    fn open_ai_duration(&mut self, duration: Duration) {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let _ = if millis < 1_000 && millis > 0 {
            write!(self, "{millis}ms")
        } else {
            if hours > 0 {
                let _ = write!(self, "{hours}h");
            }
            if seconds >= 60 {
                let _ = write!(self, "{minutes}m");
            }
            let _ = write!(self, "{}", seconds % 60);
            if rest > 0 {
                let digits = format_args!("{rest:03}").to_string();
                let _ = write!(self, ".{}", digits.trim_end_matches('0'));
            }
            write!(self, "s")
        };
    }

    /// `None` where nothing was written.
    fn value(self) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(Bytes::from(self.0)).ok()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A number of a structured field, as it is written.
struct Digits {
    bytes: [u8; 15],
    first: u8,
}

impl Digits {
    /// Of the largest instead, if it is larger.
    fn of(number: u64) -> Self {
        let mut left = number.min(MOST);
        let mut digits = Self { bytes: [b'0'; 15], first: 15 };
        for byte in digits.bytes.iter_mut().rev() {
            *byte = b'0' + (left % 10) as u8;
            left /= 10;
            digits.first -= 1;
            if left == 0 {
                break;
            }
        }
        digits
    }
}

impl Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(usize::from(self.first)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;

    use super::*;
    use crate::{
        context::RequestContext,
        identity::{Identity, Proof},
        throttle::{Limit, Rate, store::Reply},
    };

    /// Answers a request over what has answered within.
    fn answer_with(limits: &Limits, response: &mut Response<()>) {
        let context = RequestContext::new();
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "a")));
        let mut asks = Asks::new();
        limits.asks(&Request::new(()), &context, 1, &mut asks).unwrap();
        let Reply::Now(Ok(decision)) = limits.store().backend().decide(&asks) else {
            panic!("memory answers at once")
        };
        Fields::new(limits, &asks, &decision).unwrap().answer(response);
    }

    #[test]
    fn layers_of_tokens_and_of_requests_are_told_side_by_side() {
        let rate = Rate::per_minute(10);
        let tokens = Limits::new(Limit::per_identity(rate).name("budget"), Unit::Tokens);
        let requests = Limits::new(Limit::per_identity(rate), Unit::Requests);
        let mut response = Response::new(());
        response.headers_mut().insert(POLICY, HeaderValue::from_static("\"upstream\";q=1"));
        answer_with(&tokens, &mut response);
        answer_with(&requests, &mut response);
        let lines: Vec<_> = response.headers().get_all(POLICY).iter().collect();
        let expected = ["\"budget\";q=10;qu=\"tokens\";w=60", "\"identity\";q=10;w=60"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn each_combination_of_tiers_is_told_its_own_policy() {
        let tiers = |gold: u32, free: u32| {
            [("gold", Rate::per_minute(gold)), ("free", Rate::per_minute(free))]
        };
        let first = Limit::per_identity(Rate::per_minute(1)).plans("plan", tiers(2, 3));
        let mut limits = Limits::new(first.name("a"), Unit::Requests);
        let by_team = Limit::per_identity(Rate::per_minute(4)).plans("team", tiers(5, 6));
        limits.push(by_team.name("b"));
        limits.push(Limit::per_tenant(Rate::per_minute(7)));
        for (plan, q) in [("gold", 2), ("free", 3), ("none", 1)] {
            for (team, p) in [("gold", 5), ("free", 6), ("none", 4)] {
                let caller = Identity::new(Proof::Jwt, "https://issuer.example", "a");
                let caller = caller.with_claim("plan", plan).with_claim("team", team);
                let context = RequestContext::new();
                context.set_identity(Arc::new(caller));
                let mut asks = Asks::new();
                limits.asks(&Request::new(()), &context, 1, &mut asks).unwrap();
                let told = limits.policy().of(limits.held(), &asks).unwrap();
                let all = format!("\"a\";q={q};w=60, \"b\";q={p};w=60, \"tenant\";q=7;w=60");
                assert_eq!(told, all);
            }
        }
    }

    fn written(write: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::default();
        write(&mut text);
        String::from_utf8(text.0).unwrap()
    }

    #[test]
    fn durations_are_written_as_open_ai_does() {
        for (micros, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (12_000, "12ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (59_999_001, "1m0s"),
            (360_000_000, "6m0s"),
            (3_600_000_000, "1h0m0s"),
            (3_661_050_000, "1h1m1.05s"),
        ] {
            let duration = Duration::from_micros(micros);
            assert_eq!(written(|text| text.open_ai_duration(duration)), expected);
        }
    }

    #[test]
    fn names_are_escaped_and_numbers_bounded() {
        assert_eq!(label("a\"b\\c\u{e9}\n"), r#""a\"b\\c__""#);
        assert_eq!(written(|text| text.parameter("r", u64::MAX)), ";r=999999999999999");
    }
}
