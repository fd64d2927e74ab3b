//! What may be kept of an answer, and for how long.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AGE, CONTENT_RANGE, CONTENT_TYPE, SET_COOKIE, VARY},
    response::Parts,
};

use super::control::Control;
use crate::sse::says_event_stream;

/// What the answer says of its own freshness.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Freshness {
    /// How old it is already.
    pub(super) age: Duration,
    /// For how long from now on, if it says so.
    pub(super) fresh_for: Option<Duration>,
    pub(super) stale_while_revalidate: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
    /// It must not be served stale, whatever our settings.
    pub(super) must_revalidate: bool,
}

/// Whether an answer with this head may be kept, if it then ends well. `keyed` are the request's
/// fields that are part of the key, in lower case.
///
/// RFC 9111 section 3, and stricter: only 2xx, only whole, and never one that sets a cookie.
pub(super) fn storable(head: &Parts, keyed: &[HeaderName]) -> Option<Freshness> {
    let whole = head.status.is_success()
        && !is_page(&head.headers)
        && head.status != StatusCode::PARTIAL_CONTENT
        && !head.headers.contains_key(CONTENT_RANGE);
    if !whole || !is_for_others(&head.headers, keyed) {
        return None;
    }
    let control = Control::of(&head.headers);
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let age = age(&head.headers);
    let fresh_for = control.shared_max_age.or(control.max_age);
    Some(Freshness {
        age: Duration::from_secs(age.min(OLDEST)),
        fresh_for: seconds(fresh_for.map(|fresh_for| fresh_for.saturating_sub(age))),
        stale_while_revalidate: seconds(control.stale_while_revalidate),
        stale_if_error: seconds(control.stale_if_error),
        // RFC 9111 section 5.2.2.10: `s-maxage` means it as well.
        must_revalidate: control.must_revalidate || control.shared_max_age.is_some(),
    })
}

/// Whether the response is a page: of a login, a load balancer, or an application that starts. No API
/// of inference answers with one.
fn is_page(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    media_type.is_some_and(|media_type| {
        let media_type = media_type.trim_ascii();
        media_type.eq_ignore_ascii_case(b"text/html")
            || media_type.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// Whether the answer says of itself nothing that keeps it from all but the one who asked.
pub(super) fn is_for_others(headers: &HeaderMap, keyed: &[HeaderName]) -> bool {
    let control = Control::of(headers);
    // Servers of inference say a bare `no-cache` of each stream, as does axum's `Sse`, for the sake of
    // browsers: it tells nothing of the answer. What may not be kept says `no-store`.
    let habit = says_event_stream(headers) && !control.no_cache_of_fields;
    let allowed = !control.no_store && !control.private && (!control.no_cache || habit);
    allowed && varies_within(headers, keyed) && !headers.contains_key(SET_COOKIE)
}

/// Whether all that the answer depends on is in the key (RFC 9111 section 4.1).
fn varies_within(headers: &HeaderMap, keyed: &[HeaderName]) -> bool {
    let names =
        headers.get_all(VARY).iter().flat_map(|field| field.as_bytes().split(|b| *b == b','));
    let mut names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    names.all(|name| {
        SETTLED.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
            || keyed.iter().any(|other| name.eq_ignore_ascii_case(other.as_str().as_bytes()))
    })
}

/// Request headers that make no difference to a response behind this cache.
///
/// The cache asks for the same coding always, and the key holds the host. The others belong to CORS:
/// they change `access-control-*` alone, which is never stored. A browser sends
/// `access-control-request-*` with a preflight only (Fetch section 4.8), but servers name them on each
/// response: tower-http's `CorsLayer` (cors/vary.rs), which TGI and TEI use, and Spring's
/// `DefaultCorsProcessor`. The last name is of Private Network Access.
const SETTLED: [&str; 6] = [
    "accept-encoding",
    "host",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
];

/// RFC 9111 section 1.2.2.
const OLDEST: u64 = 1 << 31;

/// Seconds since it was made, as caches on the way say (RFC 9111 section 5.1). One that cannot be
/// read is as old as can be.
fn age(headers: &HeaderMap) -> u64 {
    headers.get(AGE).map_or(0, |age| {
        age.to_str().ok().and_then(|age| age.trim().parse().ok()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn is_storable(status: u16, fields: &[(&str, &str)]) -> bool {
        storable(&head(status, fields), &[http::header::ACCEPT]).is_some()
    }

    #[test]
    fn answers_that_are_whole_and_allowed_may_be_kept() {
        assert!(is_storable(200, &[]));
        assert!(is_storable(204, &[("cache-control", "max-age=0")]));
        assert!(is_storable(200, &[("vary", "Accept, accept-encoding"), ("vary", "ORIGIN")]));
        let stream = ("content-type", "text/event-stream; charset=utf-8");
        assert!(is_storable(200, &[stream, ("cache-control", "no-cache")]));
        for control in
            ["no-cache, no-store", "no-cache, private", "no-cache=\"x\"", "no-cache, vary"]
        {
            let kept = control.ends_with("vary");
            assert_eq!(is_storable(200, &[stream, ("cache-control", control)]), kept, "{control}");
        }
    }

    #[test]
    fn others_may_not() {
        for status in [199, 206, 301, 304, 400, 404, 429, 500, 503] {
            assert!(!is_storable(status, &[]), "{status}");
        }
        for field in [
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
            assert!(!is_storable(200, &[field]), "{field:?}");
        }
    }

    #[test]
    fn freshness_is_what_is_left_of_it() {
        let fresh_for = |fields: &[(&str, &str)]| {
            let freshness = storable(&head(200, fields), &[]).unwrap();
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
