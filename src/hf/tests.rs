//! The documented headers are those that the layer removes, and clients do not fill the log.

use std::{convert::Infallible, future::ready, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use tower::{ServiceExt as _, service_fn};

use super::{HfToken, response_filter::is_foreign, settings::Settings};
use crate::{
    log_limit::test_log::{Seconds, assert_once_a_minute},
    secret::Secret,
    stages::{Stage, TokenSource, Tokens},
    stripped_headers::is_stripped,
};

/// Returns the names in the row of the module docs with this reason.
fn documented(reason: &str) -> Vec<&'static str> {
    let docs = include_str!("mod.rs");
    let row = docs.lines().find(|line| line.starts_with("//! | `") && line.contains(reason));
    row.unwrap().split('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_documented_response_header_is_removed() {
    let mut count = 0;
    for reason in ["browsers apply", "gateway's credentials", "command a proxy"] {
        for name in documented(reason) {
            assert!(is_foreign(&name.replace('*', "any")), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 70);
}

#[test]
fn every_documented_request_header_is_removed() {
    let mut count = 0;
    for name in
        documented("credentials of the caller").into_iter().filter(|name| !name.contains('*'))
    {
        if name != "authorization" {
            assert!(is_stripped(name), "{name}");
        }
        assert!(is_stripped(&format!("x-any-{name}")), "{name}");
        count += 1;
    }
    for reason in ["identity and address", "route by them", "choose a model", "choose who pays"] {
        for name in documented(reason) {
            assert!(is_stripped(&name.replace('*', "any")), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 61);
    for name in ["x-amz-date", "expect", "trailer", "x_api_key", "remote_user", "any_name"] {
        assert!(is_stripped(name), "{name}");
    }
}

#[test]
fn headers_that_inference_needs_pass() {
    for name in [
        "accept",
        "accept-encoding",
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "grpc-timeout",
        "idempotency-key",
        "if-none-match",
        "range",
        "te",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-amzn-trace-id",
        "x-request-id",
        "x-scale-up-timeout",
        "x-stainless-retry-count",
        "x-use-cache",
    ] {
        assert!(!is_stripped(name), "{name}");
    }
}

// === the log ===

fn stage(tokens: impl Into<Tokens>) -> Stage {
    Stage::new("prod", "https://router.huggingface.co".parse().unwrap(), tokens)
}

fn token() -> TokenSource {
    TokenSource::value(Secret::new("hf_theGatewaysOwn")).unwrap()
}

/// Sends a request to an upstream that responds with `status`, and repeats the token in its head, in its
/// body or in its trailers.
fn send(settings: &Arc<Settings>, status: u16, place: &'static str) {
    let client = service_fn(move |_: Request<Empty<Bytes>>| {
        let text = |at| if place == at { "hf_theGatewaysOwn" } else { "other" };
        let trailers =
            HeaderMap::from_iter([("x-b".parse().unwrap(), text("trailers").parse().unwrap())]);
        let body = Full::<Bytes>::from(text("body")).with_trailers(ready(Some(Ok(trailers))));
        let mut response = Response::builder().status(status).header("x-a", text("head"));
        if place == "coding" {
            response = response.header("content-encoding", "br");
        }
        ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let service = HfToken::from_parts(client, Some(Arc::clone(settings)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = service.oneshot(Request::new(Empty::new())).await.unwrap();
        let _read = response.into_body().collect().await;
    });
}

#[test]
fn clients_cause_one_warning_a_minute() {
    let without_a_token = || stage(Tokens::by_tenant().tenant("https://idp.example", "a", token()));
    for (stage, status, place) in [
        (without_a_token(), 200, ""),
        (stage(token()), 401, ""),
        (stage(token()), 407, ""),
        (stage(token()), 200, "head"),
        (stage(token()), 200, "trailers"),
        (stage(token()), 200, "body"),
        (stage(token()), 200, "coding"),
    ] {
        let seconds = Seconds::default();
        let settings = Settings::with_clock(stage, seconds.clock());
        let scrub_bodies = matches!(place, "body" | "coding");
        let settings = Arc::new(Settings { scrub_bodies, ..settings });
        let case = format!("{status} {place}");
        assert_once_a_minute(&case, &seconds, || send(&settings, status, place));
    }
}
