use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Response, StatusCode, response::Parts};

use super::BusyResponse;
use crate::{
    clock::{Clock, SharedClock},
    context::{RequestContext, UpstreamState},
};

const ENDPOINT: &str = "https://x.us-east-1.aws.endpoints.huggingface.cloud";

struct Fixed;

impl Clock for Fixed {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    /// Sun, 30 Aug 2015 12:36:00 GMT.
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }
}

fn head(status: u16, headers: &[(&'static str, &str)]) -> Parts {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response.into_parts().0
}

/// The state, and the headers that are left.
fn concluded(
    origin: &str,
    mut head: Parts,
    body: &str,
    max: Duration,
) -> Option<(Option<UpstreamState>, HeaderMap)> {
    let context = RequestContext::new();
    context.set_upstream(Arc::from(origin));
    let busy = BusyResponse::of(&head, false, &context)?;
    let body = if busy.wants_body() { body.as_bytes() } else { &[] };
    busy.conclude(&mut head, body, max, &SharedClock::new(Fixed), &context);
    Some((context.upstream_state(), head.headers))
}

fn retry_after(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<String> {
    let head = head(status, headers);
    let (_, headers) =
        concluded("https://api.example", head, body, Duration::from_secs(60)).unwrap();
    let value = headers.get("retry-after")?;
    Some(value.to_str().unwrap().to_owned())
}

fn state(origin: &str, status: u16, body: &str) -> Option<UpstreamState> {
    let head = head(status, &[("content-type", "application/json")]);
    concluded(origin, head, body, Duration::from_secs(60))?.0
}

#[test]
fn a_wait_is_whole_rounded_up_and_clamped() {
    for (value, expected) in [
        ("3", Some("3")),
        ("0", Some("0")),
        ("0.2", Some("1")),
        ("2.5", Some("3")),
        ("59.9", Some("60")),
        ("61", Some("60")),
        ("1e300", Some("60")),
        ("99999999999999999999999999", Some("60")),
        ("Sun, 30 Aug 2015 12:36:20 GMT", Some("20")),
        ("Sun, 30 Aug 2015 13:36:20 GMT", Some("60")),
        ("Sun, 30 Aug 2015 11:36:20 GMT", Some("0")),
        ("NaN", None),
        ("inf", None),
        ("-5", None),
        ("soon", None),
        ("", None),
    ] {
        for status in [429, 503] {
            let read = retry_after(status, &[("retry-after", value)], "");
            assert_eq!(read.as_deref(), expected, "{status} {value}");
        }
    }
}

#[test]
fn a_date_is_relative_to_the_clock_of_the_upstream() {
    let headers = [
        ("date", "Sun, 30 Aug 2015 10:00:00 GMT"),
        ("retry-after", "Sun, 30 Aug 2015 10:00:07 GMT"),
    ];
    assert_eq!(retry_after(503, &headers, "").as_deref(), Some("7"));
}

#[test]
fn the_first_readable_value_counts() {
    let headers = [("retry-after", "soon"), ("retry-after", "7")];
    assert_eq!(retry_after(429, &headers, "").as_deref(), Some("7"));
    let headers = [("retry-after-ms", "1500"), ("retry-after", "7")];
    assert_eq!(retry_after(429, &headers, "").as_deref(), Some("2"));
    let headers = [("retry-after-ms", "NaN"), ("retry-after", "7")];
    assert_eq!(retry_after(429, &headers, "").as_deref(), Some("7"));
}

#[test]
fn milliseconds_stay_unless_they_ask_for_a_longer_wait() {
    for (value, expected) in [("1500", Some("1500")), ("90000", None), ("-1", None)] {
        let head = head(429, &[("retry-after-ms", value), ("retry-after", "2")]);
        let (_, headers) =
            concluded("https://api.example", head, "", Duration::from_secs(60)).unwrap();
        let left = headers.get("retry-after-ms").map(|value| value.to_str().unwrap());
        assert_eq!(left, expected, "{value}");
    }
    // A client may read any of several.
    let headers = [("retry-after-ms", "1500"), ("retry-after-ms", "9000000")];
    let (_, headers) =
        concluded("https://api.example", head(429, &headers), "", Duration::from_secs(60)).unwrap();
    assert!(!headers.contains_key("retry-after-ms"));
}

#[test]
fn the_rate_limits_of_a_429_are_read_as_each_party_writes_them() {
    let cases: [(&[(&'static str, &str)], _); 9] = [
        // OpenAI: the limit that is used up counts.
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "6.2s"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "20ms"),
            ],
            Some("7"),
        ),
        // Groq: both are used up.
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "32.5s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "7.66s"),
            ],
            Some("33"),
        ),
        // Azure OpenAI, where no limit says that it is used up.
        (
            &[
                ("x-ratelimit-remaining-tokens", "-1"),
                ("x-ratelimit-reset-tokens", "12"),
                ("x-ratelimit-reset-requests", "30"),
            ],
            Some("12"),
        ),
        (
            &[
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2015-08-30T12:36:41Z"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2015-08-30T12:36:02Z"),
            ],
            Some("41"),
        ),
        (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1440938165000")], Some("5")),
        (&[("ratelimit", "\"api\";r=0;t=55, \"pages\";r=90;t=3")], Some("55")),
        (&[("x-ratelimit-reset-requests", "6m0s")], Some("60")),
        (&[("x-ratelimit-reset-requests", "-6m"), ("ratelimit", "r=;t=x;=")], None),
        // The stated wait has precedence.
        (&[("retry-after", "4"), ("x-ratelimit-reset-requests", "6m0s")], Some("4")),
    ];
    for (headers, expected) in cases {
        assert_eq!(retry_after(429, headers, "").as_deref(), expected, "{headers:?}");
    }
    // The limits of a 503 say nothing about its cause.
    assert_eq!(retry_after(503, &[("x-ratelimit-reset-requests", "30s")], ""), None);
}

#[test]
fn the_estimated_time_of_a_503_is_read() {
    let json = ("content-type", "application/json");
    for (body, expected) in [
        (r#"{"error":"Model X is currently loading","estimated_time":20.0}"#, Some("20")),
        (r#"{"error":"Model X is currently loading","estimated_time":20.01}"#, Some("21")),
        (r#"{"error":"loading","estimated_time":1e300}"#, Some("60")),
        (r#"{"error":"loading","estimated_time":"20"}"#, None),
        (r#"{"error":"loading","estimated_time":-20}"#, None),
        // A model that is loading without saying for how long.
        (
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            Some("10"),
        ),
        // TGI and TEI.
        (r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, None),
    ] {
        assert_eq!(retry_after(503, &[json], body).as_deref(), expected, "{body}");
    }
    let both = [json, ("retry-after", "3")];
    assert_eq!(retry_after(503, &both, r#"{"estimated_time":20.0}"#).as_deref(), Some("3"));
    // A body in a coding is not read.
    let coded = [json, ("content-encoding", "gzip")];
    assert_eq!(retry_after(503, &coded, r#"{"estimated_time":20.0}"#), None);
}

#[test]
fn the_maximum_is_settable() {
    for (max, expected) in [(5_000, "5"), (500, "1"), (0, "0"), (u64::MAX, "90")] {
        let head = head(429, &[("retry-after", "90")]);
        let max = Duration::from_millis(max);
        let (_, headers) = concluded("https://api.example", head, "", max).unwrap();
        assert_eq!(headers["retry-after"], expected);
    }
}

#[test]
fn paused_and_scaled_to_zero_are_told_apart() {
    use UpstreamState::{Busy, Paused, Starting};

    let paused = r#"{"error":"Bad Request: Invalid state"}"#;
    let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    let elsewhere = "https://api.example";
    for (origin, status, body, expected) in [
        (ENDPOINT, 400, paused, Some(Paused)),
        (ENDPOINT, 503, paused, Some(Paused)),
        (ENDPOINT, 400, r#"{"error":"inputs is required"}"#, None),
        (ENDPOINT, 503, "503 Service Unavailable", Some(Starting)),
        (ENDPOINT, 502, "", Some(Starting)),
        (ENDPOINT, 429, "", Some(Busy)),
        (elsewhere, 400, paused, None),
        (elsewhere, 502, "", None),
        (elsewhere, 503, paused, Some(Busy)),
        (elsewhere, 503, loading, Some(Starting)),
        (elsewhere, 429, "", Some(Busy)),
        (elsewhere, 500, loading, None),
        // Anyone may own a name that only looks like it.
        ("https://endpoints.huggingface.cloud.example", 400, paused, None),
    ] {
        assert_eq!(state(origin, status, body), expected, "{origin} {status} {body}");
    }
}

#[test]
fn an_endpoint_that_scales_up_gets_a_wait() {
    let starting = concluded(ENDPOINT, head(503, &[]), "", Duration::from_secs(60)).unwrap();
    assert_eq!(starting.1["retry-after"], "10");
    // Waiting does not help with a paused one.
    let body = "Endpoint is paused";
    let paused = concluded(ENDPOINT, head(503, &[]), body, Duration::from_secs(60)).unwrap();
    assert!(!paused.1.contains_key("retry-after"));
    // Only 429 and 503 have the header.
    let bad = concluded(ENDPOINT, head(502, &[]), "", Duration::from_secs(60)).unwrap();
    assert!(bad.1.is_empty());
}
