use std::time::Duration;

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AGE, CONTENT_RANGE, CONTENT_TYPE, SET_COOKIE, VARY},
    response::Parts,
};

use super::control::CacheControl;
use crate::sse::says_event_stream;

/// The freshness that a response states.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ResponseFreshness {
    /// The age in other caches.
    pub(crate) age: Duration,
    /// The remaining time, if the response states one.
    pub(crate) fresh_for: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    /// The response must not be served stale, whatever the settings.
    pub(crate) must_revalidate: bool,
}

/// Returns the freshness of a response that may be stored. `keyed` has the request headers of the
/// key.
///
/// The rules are stricter than RFC 9111 section 3. Only whole responses with a status of 2xx and
/// without cookies may be stored.
pub(crate) fn storable(head: &Parts, keyed: &[HeaderName]) -> Option<ResponseFreshness> {
    let whole = head.status.is_success()
        && !is_page(&head.headers)
        && head.status != StatusCode::PARTIAL_CONTENT
        && !head.headers.contains_key(CONTENT_RANGE);
    if !whole || !is_for_others(&head.headers, keyed) {
        return None;
    }
    let control = CacheControl::of(&head.headers);
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let age = age(&head.headers);
    let fresh_for = control.shared_max_age.or(control.max_age);
    Some(ResponseFreshness {
        age: Duration::from_secs(age.min(MAX_AGE)),
        fresh_for: seconds(fresh_for.map(|fresh_for| fresh_for.saturating_sub(age))),
        stale_while_revalidate: seconds(control.stale_while_revalidate),
        stale_if_error: seconds(control.stale_if_error),
        // `s-maxage` implies it (RFC 9111 section 5.2.2.10).
        must_revalidate: control.must_revalidate || control.shared_max_age.is_some(),
    })
}

/// Returns whether a response is an HTML page: of a login, a load balancer or a starting application.
/// Inference APIs have none.
fn is_page(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    media_type.is_some_and(|media_type| {
        let media_type = media_type.trim_ascii();
        media_type.eq_ignore_ascii_case(b"text/html")
            || media_type.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// Returns whether a response may be shared with other callers.
pub(crate) fn is_for_others(headers: &HeaderMap, keyed: &[HeaderName]) -> bool {
    let control = CacheControl::of(headers);
    // Inference servers and axum's `Sse` add a bare `no-cache` to each stream because of browsers.
    // Streams that must not be stored have `no-store`.
    let usual = says_event_stream(headers) && !control.no_cache_of_headers;
    let allowed = !control.no_store && !control.private && (!control.no_cache || usual);
    allowed && varies_within(headers, keyed) && !headers.contains_key(SET_COOKIE)
}

/// Returns whether the key has every header that the response varies by (RFC 9111 section 4.1).
fn varies_within(headers: &HeaderMap, keyed: &[HeaderName]) -> bool {
    let names =
        headers.get_all(VARY).iter().flat_map(|header| header.as_bytes().split(|b| *b == b','));
    let mut names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    names.all(|name| {
        IRRELEVANT.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
            || keyed.iter().any(|other| name.eq_ignore_ascii_case(other.as_str().as_bytes()))
    })
}

/// Request headers that do not change a stored response.
///
/// The cache always requests the same coding, and the key has the host. The others belong to CORS and
/// change only `access-control-*`, which is never stored. A browser sends `access-control-request-*`
/// with a preflight only (Fetch section 4.8). Servers name these headers in each response all the
/// same: tower-http's `CorsLayer` (cors/vary.rs) of TGI and TEI, and Spring's
/// `DefaultCorsProcessor`. The last name belongs to Private Network Access.
const IRRELEVANT: [&str; 6] = [
    "accept-encoding",
    "host",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
];

/// RFC 9111 section 1.2.2.
const MAX_AGE: u64 = 1 << 31;

/// Returns the `age` of a response (RFC 9111 section 5.1). An invalid one is the maximum.
fn age(headers: &HeaderMap) -> u64 {
    headers.get(AGE).map_or(0, |age| {
        age.to_str().ok().and_then(|age| age.trim().parse().ok()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn is_storable(status: u16, headers: &[(&str, &str)]) -> bool {
        storable(&head(status, headers), &[http::header::ACCEPT]).is_some()
    }

    #[test]
    fn whole_and_permitted_responses_are_storable() {
        assert!(is_storable(200, &[]));
        assert!(is_storable(204, &[("cache-control", "max-age=0")]));
        assert!(is_storable(200, &[("vary", "Accept, accept-encoding"), ("vary", "ORIGIN")]));
        let stream = ("content-type", "text/event-stream; charset=utf-8");
        assert!(is_storable(200, &[stream, ("cache-control", "no-cache")]));
        for control in
            ["no-cache, no-store", "no-cache, private", "no-cache=\"x\"", "no-cache, vary"]
        {
            let expected = control.ends_with("vary");
            assert_eq!(
                is_storable(200, &[stream, ("cache-control", control)]),
                expected,
                "{control}"
            );
        }
    }

    #[test]
    fn other_responses_are_not_storable() {
        for status in [199, 206, 301, 304, 400, 404, 429, 500, 503] {
            assert!(!is_storable(status, &[]), "{status}");
        }
        for header in [
            ("set-cookie", "a=b"),
            ("content-range", "bytes 0-1/2"),
            ("content-type", "Text/HTML; charset=utf-8"),
            ("content-type", "application/xhtml+xml"),
            ("cache-control", "no-store"),
            ("cache-control", "private"),
            ("cache-control", "private=\"x\""),
            ("cache-control", "max-age=60, no-cache"),
            ("vary", "*"),
            ("vary", "origin, *"),
            ("vary", "accept, x-user"),
            ("vary", "access-control-request-headers, x-user"),
            ("vary", "access-control-request"),
        ] {
            assert!(!is_storable(200, &[header]), "{header:?}");
        }
    }

    #[test]
    fn freshness_is_the_remaining_time() {
        let fresh_for = |headers: &[(&str, &str)]| {
            let freshness = storable(&head(200, headers), &[]).unwrap();
            (freshness.fresh_for.map(|time| time.as_secs()), freshness.must_revalidate)
        };
        assert_eq!(fresh_for(&[]), (None, false));
        assert_eq!(fresh_for(&[("cache-control", "max-age=60"), ("age", "45")]), (Some(15), false));
        assert_eq!(fresh_for(&[("cache-control", "max-age=60"), ("age", "61")]), (Some(0), false));
        assert_eq!(fresh_for(&[("cache-control", "max-age=60"), ("age", "x")]), (Some(0), false));
        assert_eq!(fresh_for(&[("cache-control", "max-age=9, s-maxage=60")]), (Some(60), true));
        assert_eq!(fresh_for(&[("cache-control", "must-revalidate")]), (None, true));
    }
}
