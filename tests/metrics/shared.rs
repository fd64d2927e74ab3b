//! Hits and followers, whose response another request has paid for.

use std::sync::Arc;

use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    cache::{CacheLayer, Cacheable, Scope},
    metrics::Metrics,
    payload::Payload,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use super::{Scrape, recorder, with};

const STREAM: [&str; 4] = [
    r#"{"choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":" two"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
    "[DONE]",
];

fn chat() -> Request<Full<bytes::Bytes>> {
    let body = br#"{"model":"org/m","messages":[{"role":"user","content":"a"}],"stream":true}"#;
    Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(bytes::Bytes::from_static(body)))
        .unwrap()
}

async fn send<S, B>(service: S)
where
    S: Service<
            Request<Full<bytes::Bytes>>,
            Response = Response<B>,
            Error = std::convert::Infallible,
        >,
    B: BodyExt,
{
    let Ok(response) = service.oneshot(chat()).await;
    assert_eq!(response.status(), 200);
    let _ended = response.into_body().collect().await;
}

/// A stack with a cache, before an upstream that responds to a call once the gate is notified.
fn gated(
    metrics: Metrics,
) -> (
    impl Service<
        Request<Full<bytes::Bytes>>,
        Response = Response<impl BodyExt<Data = bytes::Bytes> + Send>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static,
    Arc<Notify>,
) {
    let upstream = TestUpstream::new(TestResponse::events(STREAM));
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let slow = service_fn(move |request: Request<Payload>| {
        let (gate, upstream) = (Arc::clone(&opens), upstream.clone());
        async move {
            gate.notified().await;
            upstream.oneshot(request).await
        }
    });
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
    let service = Stack::new()
        .access_log(AccessLogLayer::sink(metrics))
        .cache(cache)
        .upstream(UpstreamLayer::new())
        .layer(slow);
    (service, gate)
}

#[test]
fn a_shared_response_is_generated_once() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    with(&recorder, async {
        let (service, gate) = gated(metrics.clone());
        let open_gate = async {
            tokio::task::yield_now().await;
            gate.notify_one();
        };
        tokio::join!(
            send(service.clone()),
            send(service.clone()),
            send(service.clone()),
            open_gate
        );
        send(service).await;
    });
    let scrape = Scrape::of(&recorder);
    let of = |result: &str| {
        let result = format!("result=\"{result}\"");
        scrape.sum("tower_inference_cache_requests_total", &[&result])
    };
    assert_eq!((of("miss"), of("follower"), of("hit")), (1.0, 2.0, 1.0));
    assert_eq!(scrape.sum("tower_inference_requests_total", &[]), 4.0);
    assert_eq!(scrape.sum("tower_inference_upstream_attempts_total", &[]), 1.0);
    assert_eq!(scrape.sum("tower_inference_tokens_total", &[]), 12.0);
    assert_eq!(scrape.sum("tower_inference_upstream_duration_seconds_count", &[]), 1.0);
    assert_eq!(scrape.sum("tower_inference_time_to_first_token_seconds_count", &[]), 1.0);
    assert_eq!(scrape.sum("tower_inference_time_per_output_token_seconds_count", &[]), 1.0);
    // The wait of a follower is no time of the gateway.
    assert_eq!(scrape.sum("tower_inference_overhead_duration_seconds_count", &[]), 2.0);
    assert_eq!(scrape.value("tower_inference_in_flight_requests"), 0.0);
}

#[test]
fn a_call_whose_first_request_leaves_is_counted_by_another_one() {
    for followers in [1, 3] {
        let metrics = Metrics::new();
        let recorder = recorder(&metrics);
        with(&recorder, async {
            let (service, gate) = gated(metrics.clone());
            let leader = tokio::spawn(send(service.clone()));
            tokio::task::yield_now().await;
            let others: Vec<_> =
                (0..followers).map(|_| tokio::spawn(send(service.clone()))).collect();
            tokio::task::yield_now().await;
            leader.abort();
            assert!(leader.await.unwrap_err().is_cancelled());
            gate.notify_one();
            for other in others {
                other.await.unwrap();
            }
        });
        let scrape = Scrape::of(&recorder);
        let followed = scrape.sum("tower_inference_cache_requests_total", &["result=\"follower\""]);
        assert_eq!(followed, f64::from(followers));
        assert_eq!(scrape.sum("tower_inference_requests_total", &["outcome=\"cancelled\""]), 1.0);
        assert_eq!(scrape.sum("tower_inference_tokens_total", &[]), 12.0);
    }
}
