//! The response headers that describe limits, and that waiting for the reset is enough.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Concurrency, Limit, LimitHeaders, MemoryStore, Quota, Rate},
    peer::PeerAddress,
    rejection::{Refusal, Rejection, RejectionFormat},
    throttle::ThrottleLayer,
};

/// 2026-11-23 09:08:07 UTC, a Monday.
const NOW: u64 = 1_795_424_887;

fn layer(limit: Limit) -> (ThrottleLayer, FakeClock) {
    let clock = FakeClock::new(std::time::UNIX_EPOCH + Duration::from_secs(NOW));
    let store = MemoryStore::new().clock(SharedClock::new(clock.clone()));
    (ThrottleLayer::new(limit).store(store), clock)
}

fn request(plan: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
        .with_tenant("acme")
        .with_plan(plan);
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(caller));
    request.extensions_mut().insert(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    request
}

/// Returns a response of a service that sets such headers itself.
async fn send_as(
    layer: &ThrottleLayer,
    plan: &str,
) -> Response<impl http_body::Body<Data = Bytes>> {
    let upstream = service_fn(|_: Request<Empty<Bytes>>| async {
        let response = Response::builder()
            .header("ratelimit", "\"upstream\";r=1")
            .header("ratelimit-policy", "\"upstream\";q=1")
            .body(Empty::<Bytes>::new());
        Ok::<_, Infallible>(response.unwrap())
    });
    layer.layer(upstream).oneshot(request(plan)).await.unwrap()
}

async fn send(layer: &ThrottleLayer) -> Response<impl http_body::Body<Data = Bytes>> {
    send_as(layer, "free").await
}

/// Returns all lines of `ratelimit-policy` and `ratelimit`.
fn told<B>(response: &Response<B>) -> [String; 2] {
    ["ratelimit-policy", "ratelimit"].map(|name| {
        let lines = response.headers().get_all(name).iter();
        lines.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
    })
}

fn rate() -> Rate {
    Rate::per_second(2).burst(3)
}

#[tokio::test]
async fn headers_of_a_rate_show_permits_and_reset() {
    let (layer, clock) = layer(Limit::per_identity(rate()));
    for (status, expected) in [
        (200, "\"identity\";r=2;t=1"),
        (200, "\"identity\";r=1;t=1"),
        // Without permits left, the reset is that of one permit.
        (200, "\"identity\";r=0;t=1"),
        (429, "\"identity\";r=0;t=1"),
    ] {
        let response = send(&layer).await;
        assert_eq!(response.status(), status);
        assert_eq!(told(&response), ["\"identity\";q=3;w=2", expected]);
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(told(&send(&layer).await)[1], "\"identity\";r=1;t=1");
}

#[tokio::test]
async fn the_quota_of_a_rate_is_never_less_than_what_is_left() {
    for (rate, policy) in [
        (Rate::per_second(1).burst(3), "\"identity\";q=3;w=3"),
        (Rate::per_second(10).burst(15), "\"identity\";q=15;w=2"),
        (Rate::per_minute(7).burst(14), "\"identity\";q=14;w=120"),
        (Rate::per_minute(6), "\"identity\";q=6;w=60"),
        // Windows are whole seconds, and this bucket fills in 200 ms.
        (Rate::per_second(100).burst(20), "\"identity\";q=100;w=1"),
        (Rate::per_second(2).burst(0), "\"identity\";q=2;w=1"),
    ] {
        let (layer, _clock) = layer(Limit::per_identity(rate));
        assert_eq!(told(&send(&layer).await)[0], policy);
    }
}

#[tokio::test]
async fn without_permits_left_the_reset_is_that_of_one_permit() {
    let (layer, clock) = layer(Limit::per_identity(Rate::per_minute(6).burst(3)));
    assert_eq!(told(&send(&layer).await)[1], "\"identity\";r=2;t=10");
    assert_eq!(told(&send(&layer).await)[1], "\"identity\";r=1;t=20");
    assert_eq!(told(&send(&layer).await)[1], "\"identity\";r=0;t=10");
    clock.advance(Duration::from_millis(500));
    let refused = send(&layer).await;
    assert_eq!(told(&refused)[1], "\"identity\";r=0;t=10");
    assert_eq!(refused.headers()["retry-after"], "10");
}

#[tokio::test]
async fn headers_of_a_quota_show_its_window() {
    for (quota, policy, limit) in [
        (Quota::per_day(10), "\"identity\";q=10;w=86400", Some("\"identity\";r=9;t=53513")),
        (Quota::per_week(10), "\"identity\";q=10;w=604800", None),
        // Months differ in length.
        (Quota::per_month(10), "\"identity\";q=10", None),
    ] {
        let (layer, _clock) = layer(Limit::per_identity(quota));
        let [policy_told, limit_told] = told(&send(&layer).await);
        assert_eq!(policy_told, policy);
        if let Some(limit) = limit {
            assert_eq!(limit_told, limit);
        }
    }
}

#[tokio::test]
async fn headers_show_the_offset_of_the_first_period() {
    let first = std::time::UNIX_EPOCH + Duration::from_secs(NOW);
    let quota = Quota::per_day(10).first_period_offset(4, first);
    let (layer, _clock) = layer(Limit::per_identity(quota));
    assert_eq!(told(&send(&layer).await)[0], "\"identity\";q=6;w=86400");
}

#[tokio::test]
async fn several_limits_form_one_list() {
    let (layer, _clock) = layer(Limit::per_tenant(Rate::per_hour(100)).name("a \"b\\c\u{e9}"));
    let layer = layer.limit(Limit::per_identity(rate()));
    let response = send(&layer).await;
    let expected = [
        r#""identity";q=3;w=2, "a \"b\\c_";q=100;w=3600"#,
        r#""identity";r=2;t=1, "a \"b\\c_";r=99;t=36"#,
    ];
    assert_eq!(told(&response), expected);
}

#[tokio::test]
async fn headers_show_the_tiers_own_allowance() {
    let plans = [("gold", Rate::per_minute(600))];
    let (layer, _clock) = layer(Limit::per_identity(rate()).by_plan(plans));
    assert_eq!(told(&send_as(&layer, "gold").await)[0], "\"identity\";q=600;w=60");
    assert_eq!(told(&send_as(&layer, "free").await)[0], "\"identity\";q=3;w=2");
}

#[tokio::test]
async fn only_shown_and_enforced_limits_are_in_headers() {
    let upstream = ["\"upstream\";q=1", "\"upstream\";r=1"];
    let address = PeerAddress::connection();
    for limit in [
        Limit::global(rate()),
        Limit::per_route(rate()),
        Limit::per_peer(address, rate()),
        Limit::per_identity(rate()).shadow(),
        Limit::per_identity(rate()).hidden(),
        Limit::per_identity(Concurrency::new(3)),
    ] {
        let (layer, _clock) = layer(limit);
        assert_eq!(told(&send(&layer).await), upstream);
        // A shown limit does not reveal the others.
        let layer = layer.limit(Limit::per_tenant(rate()));
        assert_eq!(told(&send(&layer).await)[0], "\"tenant\";q=3;w=2");
    }
}

#[tokio::test]
async fn the_chosen_headers_are_sent() {
    let open_ai = ["limit", "remaining", "reset"].map(|of| format!("x-ratelimit-{of}-requests"));
    for (fields, draft, own) in [
        (LimitHeaders::Off, false, false),
        (LimitHeaders::RateLimit, true, false),
        (LimitHeaders::OpenAi, false, true),
        (LimitHeaders::All, true, true),
    ] {
        let (layer, _clock) = layer(Limit::per_identity(rate()));
        let layer = layer.limit(Limit::per_tenant(Rate::per_minute(2))).headers(fields);
        for status in [200, 200, 429] {
            let response = send(&layer).await;
            assert_eq!(response.status(), status);
            let policy = told(&response)[0].contains("\"identity\"");
            assert_eq!(policy, draft, "{fields:?}");
            assert!(open_ai.iter().all(|name| response.headers().contains_key(name) == own));
        }
    }
    let (layer, _clock) = layer(Limit::per_identity(rate()));
    let layer = layer.limit(Limit::per_tenant(Rate::per_minute(2))).headers(LimitHeaders::OpenAi);
    let response = send(&layer).await;
    // The headers describe the limit with the least left.
    let values = open_ai.map(|name| response.headers()[name].to_str().unwrap().to_owned());
    assert_eq!(values, ["2", "1", "30s"]);
}

#[tokio::test]
async fn headers_cost_one_allocation_and_none_when_off() {
    let counted = |layer: &ThrottleLayer| {
        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            // The response has room for the headers already.
            let mut response = Response::new(Empty::<Bytes>::new());
            response.headers_mut().reserve(8);
            Ok::<_, Infallible>(response)
        }));
        let (warm, measured) = (request("free"), request("free"));
        let run = |request| {
            let mut future = std::pin::pin!(service.clone().oneshot(request));
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            assert!(future.as_mut().poll(&mut context).is_ready());
        };
        run(warm);
        allocation_counter::measure(|| run(measured)).count_total
    };
    let (told, _clock) = layer(Limit::per_identity(Rate::per_hour(100)));
    let off = counted(&told.clone().headers(LimitHeaders::Off));
    assert_eq!(counted(&told), off + 1);
    let plans = [("free", Rate::per_hour(50))];
    let (tier, _clock) = layer(Limit::per_identity(Rate::per_hour(100)).by_plan(plans));
    let off = counted(&tier.clone().headers(LimitHeaders::Off));
    assert_eq!(counted(&tier), off + 1);
    let (unshown, _clock) = layer(Limit::per_identity(Rate::per_hour(100)).hidden());
    assert_eq!(counted(&unshown), off);
}

#[tokio::test]
async fn waiting_until_the_reset_is_enough() {
    let rates = || Limit::per_identity(Rate::per_minute(7).burst(2));
    let slower = || Limit::per_tenant(Rate::per_hour(9).burst(1));
    let third = || Limit::global(Rate::per_second(3).burst(1));
    let quota = || Limit::per_identity(Quota::per_day(2)).name("day");
    for limits in [
        vec![rates()],
        vec![third()],
        vec![quota()],
        vec![rates(), slower()],
        vec![rates(), slower(), third(), quota()],
    ] {
        let mut limits = limits.into_iter();
        let (layer, clock) = layer(limits.next().unwrap());
        let layer = limits.fold(layer, ThrottleLayer::limit);
        clock.advance(Duration::from_nanos(123_456_789));
        let mut rejections = 0;
        for _ in 0..20 {
            let response = send(&layer).await;
            if response.status() == 200 {
                continue;
            }
            rejections += 1;
            let rejection = response.extensions().get::<Rejection>().unwrap();
            let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(wait >= 1);
            let exact = rejection.retry_after().unwrap();
            // The wait is exact but for the rounding.
            clock.advance(exact.checked_sub(Duration::from_nanos(1)).unwrap());
            assert_eq!(send(&layer).await.status(), 429);
            clock.advance(Duration::from_secs(wait) + Duration::from_nanos(1) - exact);
            assert_eq!(send(&layer).await.status(), 200, "{wait}");
        }
        assert!(rejections > 0);
    }
}

#[tokio::test]
async fn rejections_and_headers_have_the_chosen_format() {
    for (limit, refusal, message) in [
        (Limit::per_identity(Rate::per_second(0)), Refusal::Throttled, "Too Many Requests"),
        (Limit::per_identity(Quota::per_day(0)), Refusal::QuotaExceeded, "Limit Exceeded"),
    ] {
        let (layer, _clock) = layer(limit);
        let layer = layer.rejections(RejectionFormat::ApiGateway);
        let response = send(&layer).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal(), refusal);
        assert!(told(&response)[1].starts_with("\"identity\";r=0"));
        let Ok(body) = response.into_body().collect().await else { panic!("the body broke") };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        assert_eq!(body, json!({ "message": message }));

        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let mut call = request("free");
        let grpc = http::HeaderValue::from_static("application/grpc");
        call.headers_mut().insert("content-type", grpc);
        let response = service.oneshot(call).await.unwrap();
        assert_eq!(response.status(), 200);
        // RESOURCE_EXHAUSTED.
        assert_eq!(response.headers()["grpc-status"], "8");
        assert!(response.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn spellings_of_one_address_share_a_counter() {
    let (layer, _clock) = layer(Limit::per_peer(PeerAddress::connection(), Rate::per_hour(1)));
    let mut statuses = Vec::new();
    for address in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "2001:db8::2", "::1"] {
        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let mut request = request("free");
        let address: IpAddr = address.parse().unwrap();
        request.extensions_mut().insert(SocketAddr::new(address, 1));
        statuses.push(service.oneshot(request).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200, 429, 200]);
}
