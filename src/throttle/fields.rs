//! What the fields of an answer tell callers of their limits.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

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
/// refusals. Concurrency has no window to tell of, and limits in shadow are not told.
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
    /// Where the numbers are all the limits' own, no tier's.
    own: Option<HeaderValue>,
    /// Where one limit is told: of each of its tiers.
    tiers: Vec<(Allowance, HeaderValue)>,
}

/// That the fields in an answer are an inner layer's of this crate, not an upstream's.
#[derive(Clone, Copy, Debug)]
struct Told;

impl Policy {
    /// Of these limits, in their order.
    pub(super) fn new(held: &[Held], unit: Unit) -> Self {
        let mut text = Text::default();
        for held in held.iter().filter(|held| is_told(held)) {
            text.policy(&held.label, held.limit.allowance, quota_most(held.limit.allowance), unit);
        }
        let mut told = held.iter().filter(|held| is_told(held));
        let tiers = match (told.next(), told.next()) {
            (Some(held), None) => held.limit.tiers.as_deref().map(|tiers| {
                let written = tiers.allowances().filter_map(|allowance| {
                    let mut text = Text::default();
                    text.policy(&held.label, allowance, quota_most(allowance), unit);
                    Some((allowance, text.value()?))
                });
                written.collect()
            }),
            _ => None,
        };
        let lasting = |value: &HeaderValue| {
            // Made to be shared before it is: the first clone allocates.
            drop(value.clone());
        };
        let own = text.value().inspect(lasting);
        Self { own, tiers: tiers.unwrap_or_default() }
    }

    fn of_tier(&self, allowance: Allowance) -> Option<HeaderValue> {
        let tier = self.tiers.iter().find(|(tier, _)| *tier == allowance);
        tier.map(|(_, value)| value.clone())
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
        let told = || {
            let asked = limits.held().iter().zip(asks).zip(&decision.standings);
            let told = asked.filter(|((held, ask), _)| is_told(held) && has_window(ask));
            told.map(|((held, ask), standing)| (held, ask, standing))
        };
        told().next()?;
        let (mut policy, mut limit, mut open_ai) = (None, None, None);
        if matches!(which, LimitFields::RateLimit | LimitFields::All) {
            let lasting = told().all(|(_, ask, standing)| {
                quota_most(ask.allowance).is_none_or(|most| most == standing.most)
            });
            let own = told().all(|(held, ask, _)| ask.allowance == held.limit.allowance);
            let written = match (lasting, own) {
                (false, _) => None,
                (true, true) => limits.policy().own.clone(),
                (true, false) => {
                    told().find_map(|(_, ask, _)| limits.policy().of_tier(ask.allowance))
                }
            };
            policy = written.or_else(|| {
                let mut text = Text::default();
                for (held, ask, standing) in told() {
                    text.policy(&held.label, ask.allowance, Some(standing.most), limits.unit());
                }
                text.value()
            });
            let mut text = Text::default();
            for (held, ask, standing) in told() {
                text.limit(&held.label, ask, standing);
            }
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
        Kind::Rate(_) | Kind::Concurrency(_) => None,
    }
}

/// Until all is there again; where nothing is left, until one is.
fn until(ask: &Ask, standing: &Standing) -> Duration {
    match ask.allowance.0 {
        Kind::Rate(rate) if standing.remaining == 0 => {
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

/// A value in the making: on the stack, until it is one.
#[derive(Default)]
struct Text(SmallVec<[u8; 256]>);

impl Text {
    fn policy(&mut self, label: &str, allowance: Allowance, most: Option<u64>, unit: Unit) {
        let (most, window) = match allowance.0 {
            Kind::Rate(rate) => {
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

    fn limit(&mut self, label: &str, ask: &Ask, standing: &Standing) {
        self.member(label);
        self.parameter("r", standing.remaining);
        let until = until(ask, standing);
        let seconds = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
        self.parameter("t", seconds);
    }

    /// A member of the list.
    fn member(&mut self, label: &str) {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(label.as_bytes());
    }

    fn parameter(&mut self, name: &str, value: u64) {
        // Writing to memory does not fail.
        let _ = write!(self, ";{name}={}", value.min(MOST));
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
    fn value(&self) -> Option<HeaderValue> {
        if self.0.is_empty() { None } else { HeaderValue::from_bytes(&self.0).ok() }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
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

    fn written(write: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::default();
        write(&mut text);
        String::from_utf8(text.0.to_vec()).unwrap()
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
