//! How long a key set may be used without asking the issuer again (RFC 9111 section 5.2.2).

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue,
    header::{AGE, CACHE_CONTROL},
};

/// The shortest time between two fetches of aged keys. A response cannot ask for a shorter one.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// Returns the lifetime of a response: its `max-age` less its `age`, from a minute to `max_age`.
/// `no-store` and `no-cache` ask for the minimum. A response without either has `max_age`.
pub(super) fn lifetime(headers: &HeaderMap, max_age: Duration) -> Duration {
    let shortest = MIN_LIFETIME.min(max_age);
    let values = headers.get_all(CACHE_CONTROL).iter();
    // A comma within quotes splits a directive that is not read here.
    let directives = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    // The shortest of several lifetimes is the safe one.
    match directives.filter_map(directive).min() {
        Some(lifetime) => lifetime.saturating_sub(age(headers)).clamp(shortest, max_age),
        None => max_age,
    }
}

/// Returns the lifetime that a directive asks for. Text that is no number makes a response stale (RFC
/// 9111 section 4.2.1).
fn directive(text: &[u8]) -> Option<Duration> {
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let (name, argument) = (parts.next()?.trim_ascii(), parts.next());
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    if is("no-store") || is("no-cache") {
        return Some(Duration::ZERO);
    }
    is("max-age").then(|| argument.and_then(seconds).unwrap_or_default())
}

/// Reads a number of seconds with or without quotes. A larger number than any clock reaches is the
/// largest one.
fn seconds(text: &[u8]) -> Option<Duration> {
    let text = text.trim_ascii();
    let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let digits = !bare.is_empty() && bare.iter().all(u8::is_ascii_digit);
    let number = bare.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
    });
    digits.then(|| Duration::from_secs(number))
}

/// Returns how long caches on the way have had the response.
fn age(headers: &HeaderMap) -> Duration {
    headers.get(AGE).map(HeaderValue::as_bytes).and_then(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> u64 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        lifetime(&headers, Duration::from_secs(600)).as_secs()
    }

    #[test]
    fn lifetime_is_between_a_minute_and_the_maximum() {
        for (value, expected) in [
            ("max-age=300", 300),
            ("public, MAX-AGE=300 , must-revalidate", 300),
            ("max-age=\"300\"", 300),
            ("max-age=0", 60),
            ("max-age=59", 60),
            ("max-age=601", 600),
            ("max-age=99999999999999999999999", 600),
            ("max-age", 60),
            ("max-age=soon", 60),
            ("max-age=-1", 60),
            ("no-store", 60),
            ("No-Cache, max-age=300", 60),
            ("max-age=300, max-age=100", 100),
            ("s-maxage=300", 600),
            ("public", 600),
            ("", 600),
        ] {
            assert_eq!(of(&[("cache-control", value)]), expected, "{value}");
        }
        assert_eq!(of(&[]), 600);
        assert_eq!(of(&[("cache-control", "public"), ("cache-control", "max-age=90")]), 90);
    }

    #[test]
    fn age_shortens_the_lifetime() {
        let of = |age| of(&[("cache-control", "max-age=300"), ("age", age)]);
        assert_eq!((of("100"), of("299"), of("400"), of("x")), (200, 60, 60, 300));
    }

    #[test]
    fn maximum_below_a_minute_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=30"));
        assert_eq!(lifetime(&headers, Duration::from_secs(5)), Duration::from_secs(5));
    }
}
