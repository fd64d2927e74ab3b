use std::time::Duration;

use http::{HeaderMap, header::CACHE_CONTROL};

use crate::cache::entry::{Entry, EntryState};

/// The directives of `cache-control` that this cache obeys, in requests and in responses (RFC 9111
/// section 5.2). Other directives are ignored (section 5.2.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct CacheControl {
    pub(crate) no_store: bool,
    /// Set even if a response restricts it to some headers: this cache stores whole responses
    /// (section 5.2.2.4).
    pub(crate) no_cache: bool,
    /// The response restricts `no-cache` to some headers.
    pub(crate) no_cache_of_headers: bool,
    pub(crate) only_if_cached: bool,
    /// Set even if a response restricts it to some headers (section 5.2.2.7).
    pub(crate) private: bool,
    pub(crate) must_revalidate: bool,
    /// Seconds.
    pub(crate) max_age: Option<u64>,
    /// Seconds. In a response it takes precedence over `max-age` (section 5.2.2.10).
    pub(crate) shared_max_age: Option<u64>,
    /// Seconds that the response must stay fresh.
    pub(crate) min_fresh: Option<u64>,
    /// Seconds since the response is stale. Without a number, any time (section 5.2.1.2).
    pub(crate) max_stale: Option<u64>,
    /// Seconds (RFC 5861 section 3).
    pub(crate) stale_while_revalidate: Option<u64>,
    /// Seconds (RFC 5861 section 4).
    pub(crate) stale_if_error: Option<u64>,
}

impl CacheControl {
    /// Reads all headers. The strictest value of a repeated directive counts. An invalid age is the
    /// strictest one (section 4.2.1).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for header in headers.get_all(CACHE_CONTROL) {
            each_directive(header.as_bytes(), |name, value| control.add(name, value));
        }
        control
    }

    /// Returns whether a request accepts an entry.
    pub(crate) fn accepts(&self, entry: &Entry, now: Duration) -> bool {
        if self.no_cache {
            return false;
        }
        let age = entry.age(now).as_secs();
        let young = self.max_age.is_none_or(|max_age| age <= max_age && max_age > 0);
        let left = entry.lifetime.fresh_until.saturating_sub(now).as_secs();
        let stale_for = now.saturating_sub(entry.lifetime.fresh_until).as_secs();
        let fresh = match entry.state(now) {
            EntryState::Fresh => self.min_fresh.is_none_or(|min_fresh| left >= min_fresh),
            EntryState::Expired => false,
            // RFC 9111 section 5.2.1.2.
            EntryState::Stale | EntryState::ErrorFallback => {
                self.max_stale.is_some_and(|max_stale| stale_for <= max_stale)
            }
        };
        young && fresh
    }

    /// Returns whether a request accepts a stale entry, if the settings allow it.
    pub(crate) const fn accepts_stale(&self) -> bool {
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
            self.no_cache_of_headers |= value.is_some();
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

/// Parses seconds with or without quotes (RFC 9111 section 5.2). They are at most 2^31 (section
/// 1.2.2).
fn seconds(value: &[u8]) -> Option<u64> {
    const MAX: u64 = 1 << 31;
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        let add =
            |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit & 15));
        value.iter().fold(0, add).min(MAX)
    })
}

/// Splits the directives at commas: `token [ "=" ( token / quoted-string ) ]`.
fn each_directive(header: &[u8], mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut rest = header;
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

/// Returns the position of the first comma outside of quotes.
fn end_of_directive(header: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let end = header.iter().position(|byte| {
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
    end.unwrap_or(header.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn control(headers: &[&str]) -> CacheControl {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(CACHE_CONTROL, HeaderValue::from_str(header).unwrap());
        }
        CacheControl::of(&map)
    }

    #[test]
    fn all_directives_are_parsed() {
        let read = control(&["No-Store , max-age=\"60\"", "only-if-cached,min-fresh=5,max-stale"]);
        assert_eq!(
            read,
            CacheControl {
                no_store: true,
                only_if_cached: true,
                max_age: Some(60),
                min_fresh: Some(5),
                max_stale: Some(u64::MAX),
                ..CacheControl::default()
            }
        );
        let read =
            control(&["s-maxage=9, stale-while-revalidate=3, stale-if-error=7, must-revalidate"]);
        assert_eq!(
            read,
            CacheControl {
                must_revalidate: true,
                shared_max_age: Some(9),
                stale_while_revalidate: Some(3),
                stale_if_error: Some(7),
                ..CacheControl::default()
            }
        );
    }

    #[test]
    fn quoted_text_is_not_a_directive() {
        let read = control(&[r#"x="a, no-store, \", private", no-cache="set-cookie, private""#]);
        assert_eq!(
            read,
            CacheControl { no_cache: true, no_cache_of_headers: true, ..CacheControl::default() }
        );
        assert!(control(&[r#"private="set-cookie""#]).private);
    }

    #[test]
    fn the_strictest_value_counts() {
        assert_eq!(control(&["max-age=60, max-age=5"]).max_age, Some(5));
        for unreadable in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x"] {
            assert_eq!(control(&[unreadable]).max_age, Some(0), "{unreadable}");
        }
        assert_eq!(control(&["min-fresh=x"]).min_fresh, Some(u64::MAX));
        assert_eq!(control(&["max-age=99999999999999999999999"]).max_age, Some(1 << 31));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(header in "[ -~\t]{0,60}") {
            control(&[&header]);
        }

        #[test]
        fn surrounding_text_does_not_hide_a_directive(before in "[a-z =]{0,20}", after in "[ -~]{0,20}") {
            let header = format!("{before},no-store ,{after}");
            prop_assert!(control(&[&header]).no_store);
        }
    }
}
