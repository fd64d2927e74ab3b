//! The slug, detail and format of rejections.

use http_body_util::BodyExt;
use serde_json::Value;
use tower_inference::{
    context::RequestHead,
    limits::{Limit, Quota, Rate},
    rejection::RejectionFormat,
};

use crate::{from, layer, send, told, user};

#[tokio::test]
async fn only_the_callers_own_limits_are_shown() {
    let none = Rate::per_second(0);
    let key = |_: &RequestHead<'_>| Some("x");
    for (limit, detail) in [
        (Limit::per_identity(none), "at most 0 requests a second"),
        (Limit::per_claim("plan", none), "at most 0 requests a second"),
        (Limit::per_tenant(none), "at most 0 requests a second"),
        (Limit::per_route(none), "Too many requests"),
        (Limit::per_key(key, none), "Too many requests"),
        (Limit::global(none), "Too many requests"),
        // A setting changes the default.
        (Limit::per_key(key, none).shown(), "at most 0 requests a second"),
        (Limit::per_identity(none).hidden(), "Too many requests"),
    ] {
        let (layer, _clock) = layer(limit);
        assert_eq!(told(&send(&layer, from(user("a"))).await).1, detail);
    }
}

#[tokio::test]
async fn the_detail_of_a_rate_has_its_burst() {
    for (rate, detail) in [
        (Rate::per_second(1).burst(3), "at most 1 request a second, 3 at once"),
        (Rate::per_minute(6).burst(1), "at most 6 requests a minute, 1 at once"),
        (Rate::per_hour(2).burst(2), "at most 2 requests an hour"),
        (Rate::per_hour(2), "at most 2 requests an hour"),
    ] {
        let (layer, _clock) = layer(Limit::per_identity(rate));
        let mut response = send(&layer, from(user("a"))).await;
        while response.status() == 200 {
            response = send(&layer, from(user("a"))).await;
        }
        assert_eq!(told(&response).1, detail);
    }
}

#[tokio::test]
async fn a_quota_has_its_own_slug_and_detail() {
    let (layer, _clock) = layer(Limit::per_identity(Quota::per_day(0)));
    let response = send(&layer, from(user("a"))).await;
    let (slug, detail, wait) = told(&response);
    assert_eq!((slug, detail), ("quota-exceeded", "the quota of 0 requests a day is used up"));
    // The day ends in 24 h less 9 h 8 min 7 s.
    assert_eq!(wait, Some("53513"));
}

#[tokio::test]
async fn rejections_have_the_chosen_format() {
    let (layer, _clock) = layer(Limit::global(Rate::per_second(0)));
    let layer = layer.rejections(RejectionFormat::ApiGateway);
    let response = send(&layer, from(user("a"))).await;
    assert_eq!(response.headers()["x-amzn-errortype"], "TooManyRequestsException");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["message"], "Too Many Requests");
}
