//! `cache-control`, of requests and of answers (RFC 9111 section 5.2).

use std::time::Duration;

use http::{HeaderMap, header::CACHE_CONTROL};

use super::entry::{Entry, State};

/// The directives that this cache obeys. Others are passed over (section 5.2.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Control {
    pub(super) no_store: bool,
    /// Of an answer also where it names fields: this cache keeps whole answers (section 5.2.2.4).
    pub(super) no_cache: bool,
    /// Of an answer: it names fields.
    pub(super) no_cache_of_fields: bool,
    pub(super) only_if_cached: bool,
    /// Of an answer also where it names fields (section 5.2.2.7).
    pub(super) private: bool,
    pub(super) must_revalidate: bool,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    /// Seconds. Of an answer it stands over `max-age` (section 5.2.2.10).
    pub(super) shared_max_age: Option<u64>,
    /// Seconds: the answer must stay fresh for so long.
    pub(super) min_fresh: Option<u64>,
    /// Seconds that it may have been stale; without a number, any (section 5.2.1.2).
    pub(super) max_stale: Option<u64>,
    /// Seconds (RFC 5861 section 3).
    pub(super) stale_while_revalidate: Option<u64>,
    /// Seconds (RFC 5861 section 4).
    pub(super) stale_if_error: Option<u64>,
}

impl Control {
    /// What the fields say together. Of a directive that comes twice, and of an age that cannot be
    /// read, the strictest reading stands (section 4.2.1).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for field in headers.get_all(CACHE_CONTROL) {
            each_directive(field.as_bytes(), |name, value| control.add(name, value));
        }
        control
    }

    /// Whether a request takes what was kept as it is.
    pub(super) fn takes(&self, entry: &Entry, now: Duration) -> bool {
        if self.no_cache {
            return false;
        }
        let age = entry.age(now).as_secs();
        let young = self.max_age.is_none_or(|max_age| age <= max_age && max_age > 0);
        let left = entry.times.fresh_until.saturating_sub(now).as_secs();
        let stale_for = now.saturating_sub(entry.times.fresh_until).as_secs();
        let fresh = match entry.state(now) {
            State::Fresh => self.min_fresh.is_none_or(|min_fresh| left >= min_fresh),
            State::Over => false,
            // RFC 9111 section 5.2.1.2.
            State::Stale | State::LastResort => {
                self.max_stale.is_some_and(|max_stale| stale_for <= max_stale)
            }
        };
        young && fresh
    }

    /// Whether a request takes what is stale, where the settings allow that.
    pub(super) const fn takes_stale(&self) -> bool {
        !self.no_cache && self.max_age.is_none() && self.min_fresh.is_none()
    }

    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let least = |known: Option<u64>| {
            let seconds = value.and_then(seconds).unwrap_or(0);
            Some(known.map_or(seconds, |known| known.min(seconds)))
        };
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
            self.no_cache_of_fields |= value.is_some();
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("private") {
            self.private = true;
        } else if is("must-revalidate") || is("proxy-revalidate") {
            self.must_revalidate = true;
        } else if is("max-age") {
            self.max_age = least(self.max_age);
        } else if is("s-maxage") {
            self.shared_max_age = least(self.shared_max_age);
        } else if is("max-stale") {
            let any = value.is_none().then_some(u64::MAX);
            self.max_stale = any.or_else(|| least(self.max_stale));
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = least(self.stale_while_revalidate);
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error);
        } else if is("min-fresh") {
            let seconds = value.and_then(seconds).unwrap_or(u64::MAX);
            self.min_fresh = self.min_fresh.max(Some(seconds));
        }
    }
}

/// Seconds, with or without quotes (RFC 9111 section 5.2: recipients take both forms). Beyond 2^31
/// it is 2^31 (section 1.2.2).
fn seconds(value: &[u8]) -> Option<u64> {
    const MOST: u64 = 1 << 31;
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        let add =
            |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit & 15));
        value.iter().fold(0, add).min(MOST)
    })
}

/// `token [ "=" ( token / quoted-string ) ]`, between commas.
fn each_directive(field: &[u8], mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut rest = field;
    while !rest.is_empty() {
        let end = end_of_directive(rest);
        let (directive, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        let mut halves = directive.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().map(|value| {
            let value = value.trim_ascii();
            let inside = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            inside.unwrap_or(value)
        });
        if !name.is_empty() {
            take(name, value);
        }
    }
}

/// Where the comma stands that is in no quotes.
fn end_of_directive(field: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let end = field.iter().position(|byte| {
        let is_end = !quoted && *byte == b',';
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        }
        is_end
    });
    end.unwrap_or(field.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn control(fields: &[&str]) -> Control {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(field).unwrap());
        }
        Control::of(&headers)
    }

    #[test]
    fn directives_are_read() {
        let read = control(&["No-Store , max-age=\"60\"", "only-if-cached,min-fresh=5,max-stale"]);
        assert_eq!(
            read,
            Control {
                no_store: true,
                only_if_cached: true,
                max_age: Some(60),
                min_fresh: Some(5),
                max_stale: Some(u64::MAX),
                ..Control::default()
            }
        );
        let read =
            control(&["s-maxage=9, stale-while-revalidate=3, stale-if-error=7, must-revalidate"]);
        assert_eq!(
            read,
            Control {
                must_revalidate: true,
                shared_max_age: Some(9),
                stale_while_revalidate: Some(3),
                stale_if_error: Some(7),
                ..Control::default()
            }
        );
    }

    #[test]
    fn what_stands_in_quotes_is_no_directive() {
        let read = control(&[r#"x="a, no-store, \", private", no-cache="set-cookie, private""#]);
        assert_eq!(
            read,
            Control { no_cache: true, no_cache_of_fields: true, ..Control::default() }
        );
        assert!(control(&[r#"private="set-cookie""#]).private);
    }

    #[test]
    fn the_strictest_reading_stands() {
        assert_eq!(control(&["max-age=60, max-age=5"]).max_age, Some(5));
        for unreadable in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x"] {
            assert_eq!(control(&[unreadable]).max_age, Some(0), "{unreadable}");
        }
        assert_eq!(control(&["min-fresh=x"]).min_fresh, Some(u64::MAX));
        assert_eq!(control(&["max-age=99999999999999999999999"]).max_age, Some(1 << 31));
    }

    proptest! {
        #[test]
        fn anything_is_read(field in "[ -~\t]{0,60}") {
            control(&[&field]);
        }

        #[test]
        fn what_surrounds_a_directive_does_not_hide_it(before in "[a-z =]{0,20}", after in "[ -~]{0,20}") {
            let field = format!("{before},no-store ,{after}");
            prop_assert!(control(&[&field]).no_store);
        }
    }
}
