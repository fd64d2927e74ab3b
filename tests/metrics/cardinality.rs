//! The number of series stays small whatever clients send.

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    limits::{Limit, Rate},
    metrics::Metrics,
    model::Profile,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    route::RouteLayer,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    upstream::UpstreamLayer,
};

use super::{Scrape, recorder, with};

const REQUESTS: u64 = 100_000;
/// 200 pairs of route and model, each with the 17 series of one histogram and some counters.
const MAX_SERIES: usize = 6_000;

/// A sequence of numbers without a seed of the moment.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Random paths, methods and models. The upstream knows every model, which is the worst case: each
/// name of a request that succeeds wants a label.
#[test]
fn random_paths_and_models_make_few_series() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    let routes = RouteLayer::new(&Profile::compatible());
    let state = with(&recorder, async {
        let response: serde_json::Value = serde_json::from_str(r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#).unwrap();
        let upstream = TestUpstream::new(TestResponse::json(response));
        let stack = Stack::new()
            .request_id(RequestIdLayer::new())
            .access_log(AccessLogLayer::sink(metrics.clone()))
            .throttle(ThrottleLayer::new(Limit::global(Rate::per_second(20_000))))
            .route(routes)
            .payload(PayloadLayer::by_route())
            .upstream(UpstreamLayer::new());
        let service = stack.layer(upstream);
        let mut random = 7;
        for number in 0..REQUESTS {
            let known = !next(&mut random).is_multiple_of(3);
            let path = match next(&mut random) % 3 {
                _ if !known => format!("/wp-login/{}.php", next(&mut random)),
                0 => "/v1/chat/completions".to_owned(),
                1 => "/v1/embeddings".to_owned(),
                _ => format!("/models/org/m{number}/v1/chat/completions"),
            };
            let method =
                if next(&mut random).is_multiple_of(10) { Method::GET } else { Method::POST };
            let body = format!(r#"{{"model":"m{}","input":"a"}}"#, next(&mut random));
            let request = Request::builder().method(method).uri(path);
            let request = request.header(header::CONTENT_TYPE, "application/json");
            let request = request.body(Full::new(bytes::Bytes::from(body))).unwrap();
            let Ok(response) = service.clone().oneshot(request).await;
            if !next(&mut random).is_multiple_of(20) {
                let _ended = response.into_body().collect().await;
            }
        }
        stack
    });
    metrics::with_local_recorder(&recorder, || state.snapshot().publish(&metrics));
    let scrape = Scrape::of(&recorder);
    println!("{} series after {REQUESTS} requests", scrape.size());
    assert_eq!(scrape.sum("tower_inference_requests_total", &[]), REQUESTS as f64);
    assert!(scrape.sum("tower_inference_other_models_total", &[r#"reason="full""#]) > 10_000.0);
    assert!(scrape.sum("tower_inference_requests_total", &[r#"refusal="not-found""#]) > 10_000.0);
    assert!(scrape.size() < MAX_SERIES, "{}", scrape.size());
    assert!(!scrape.text.contains("wp-login"));
}

/// The table of the series has its memory from the start.
#[test]
fn any_number_of_models_can_be_asked_for() {
    let metrics = Metrics::new().max_models(usize::MAX);
    let recorder = recorder(&metrics);
    with(&recorder, async {
        let layer = Stack::new().access_log(AccessLogLayer::sink(metrics.clone()));
        let service = layer
            .payload(PayloadLayer::new())
            .layer(TestUpstream::new(TestResponse::json(serde_json::json!({}))));
        let request = Request::get("/v1/models").body(Full::<bytes::Bytes>::default()).unwrap();
        let _response = service.oneshot(request).await.unwrap().into_body().collect().await;
    });
    assert_eq!(Scrape::of(&recorder).sum("tower_inference_requests_total", &[]), 1.0);
}
