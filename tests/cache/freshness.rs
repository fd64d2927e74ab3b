//! Freshness of responses, and `cache-control` of requests.

use tokio::sync::Semaphore;
use tower_inference::{
    cache::{ClientControl, Freshness, Unauthorized},
    context::CacheOutcome,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

fn controlled_by(control: &'static str) -> Request<Payload> {
    let mut request = plain();
    request.headers_mut().insert("cache-control", control.parse().unwrap());
    request
}

/// A layer that caller `a` controls.
fn controlled() -> (CacheLayer, FakeClock) {
    let (layer, clock) = layer(Scope::Identity);
    (layer.client_control(ClientControl::new(|identity| identity.subject() == "a")), clock)
}

fn status(response: &CacheResponse) -> &str {
    let status = response.headers()["cache-status"].to_str().unwrap();
    status.strip_prefix("tower-inference; ").unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn routes_and_models_have_their_own_ttl() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.freshness(
        Freshness::new()
            .ttl(SECOND * 10)
            .route_ttl("embeddings", SECOND * 20)
            .model_ttl("slow", SECOND * 30)
            .model_ttl("never", Duration::ZERO),
    );
    let of = |route: &'static str, model: &str| {
        let request = plain();
        let context = context(&request);
        context.set_route(route);
        context.set_model(model);
        let (parts, _) = request.into_parts();
        let body = format!(r#"{{"model":"{model}","temperature":0}}"#);
        Request::from_parts(parts, Payload::buffered(body))
    };
    let upstream = Upstream::numbers();
    for (route, model, ttl) in
        [("chat", "m", 10), ("embeddings", "m2", 20), ("embeddings", "slow", 30)]
    {
        body_of(&layer, &upstream, of(route, model)).await;
        clock.advance(SECOND * (ttl - 1));
        assert_eq!(status(&send(&layer, &upstream, of(route, model)).await), "hit; ttl=1");
        clock.advance(SECOND);
        assert!(status(&send(&layer, &upstream, of(route, model)).await).starts_with("fwd=miss"));
    }
    assert_eq!(
        status(&send(&layer, &upstream, of("chat", "never")).await),
        "fwd=bypass; detail=no-time-to-live"
    );
}

#[tokio::test]
async fn responses_set_their_ttl_with_from_responses() {
    let says = |control: &'static str| {
        Upstream::new(move |_, _| {
            let mut response = json(&completion(0));
            response.headers_mut().insert("cache-control", control.parse().unwrap());
            response
        })
    };
    for (asked, expected) in [(false, "hit; ttl=300"), (true, "hit; ttl=7")] {
        let (layer, _) = layer(Scope::Identity);
        let layer = if asked { layer.freshness(Freshness::new().obey_responses()) } else { layer };
        let upstream = says("max-age=7");
        body_of(&layer, &upstream, plain()).await;
        assert_eq!(status(&send(&layer, &upstream, plain()).await), expected);
    }
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.freshness(Freshness::new().obey_responses());
    let upstream = says("max-age=0");
    body_of(&layer, &upstream, plain()).await;
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn the_age_in_other_caches_counts() {
    let (layer, clock) = layer(Scope::Identity);
    clock.advance(SECOND * 1_000);
    let upstream = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        response.headers_mut().insert("age", "100".parse().unwrap());
        response
    });
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 5);
    assert_eq!(send(&layer, &upstream, plain()).await.headers()["age"], "105");
}

/// An integer has at most 15 digits (RFC 9651 section 3.3.1).
#[tokio::test]
async fn the_longest_ttl_fits_into_the_header() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.freshness(Freshness::new().ttl(Duration::MAX));
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, plain()).await;
    assert_eq!(status(&send(&layer, &upstream, plain()).await), "hit; ttl=999999999999999");
}

#[tokio::test]
async fn setting_the_wall_clock_back_extends_no_entry() {
    let (layer, clock) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 300);
    clock.set_wall(std::time::UNIX_EPOCH);
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(1));
}

#[tokio::test]
async fn cache_control_of_an_authorized_caller_is_obeyed() {
    let (layer, clock) = controlled();
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 100);
    let is_hit = async |control| {
        let response = send(&layer, &upstream, controlled_by(control)).await;
        let hit = status(&response).starts_with("hit");
        if !hit {
            assert_eq!(status(&response), "fwd=request");
            // The body is dropped before its end, so the entry stays.
            drop(response);
        }
        hit
    };
    assert!(is_hit("max-age=100").await);
    assert!(!is_hit("max-age=99").await);
    assert!(!is_hit("max-age=0").await);
    assert!(!is_hit("no-cache").await);
    assert!(is_hit("min-fresh=200").await);
    assert!(!is_hit("min-fresh=201").await);
    assert!(is_hit("only-if-cached").await);
    let stored = send(&layer, &upstream, controlled_by("no-store")).await;
    assert_eq!(status(&stored), "fwd=bypass; detail=no-store");
    assert_eq!(text(stored).await, completion(5));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(0));
    // The new response replaces the entry.
    assert_eq!(body_of(&layer, &upstream, controlled_by("no-cache")).await, completion(6));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(6));
}

#[tokio::test]
async fn only_if_cached_does_not_call_the_upstream() {
    let (layer, _) = controlled();
    let upstream = Upstream::numbers();
    let response = send(&layer, &upstream, controlled_by("only-if-cached")).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let refusal = response.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!((refusal, upstream.calls()), (Refusal::NotCached, 0));
}

#[tokio::test]
async fn cache_control_of_an_unauthorized_caller_is_handled_as_set() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    let others = ClientControl::new(|identity| identity.subject() == "somebody else");
    let ignoring = layer.clone().client_control(others.clone());
    body_of(&ignoring, &upstream, plain()).await;

    let ignored = send(&ignoring, &upstream, controlled_by("no-cache")).await;
    assert_eq!(status(&ignored), "hit; ttl=300");
    assert!(!ignored.headers().contains_key("warning"));

    let warned = layer.clone().client_control(others.clone().unauthorized(Unauthorized::Warn));
    let response = send(&warned, &upstream, controlled_by("no-cache")).await;
    assert_eq!(status(&response), "hit; ttl=300");
    assert_eq!(response.headers()["warning"], "199 - \"cache-control of the request was ignored\"");
    assert!(!send(&warned, &upstream, plain()).await.headers().contains_key("warning"));

    let refused = layer.client_control(others.unauthorized(Unauthorized::Reject));
    let response = send(&refused, &upstream, controlled_by("max-age=0")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal(), Refusal::Forbidden);
    assert_eq!(send(&refused, &upstream, plain()).await.status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn concurrent_no_cache_requests_share_one_call() {
    let (layer, _) = controlled();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&completion(number)))
        })
    });
    gate.add_permits(1);
    body_of(&layer, &upstream, plain()).await;
    let service = layer.layer(upstream.clone());
    let calls: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(controlled_by("no-cache"))))
        .collect();
    while upstream.calls() < 2 {
        tokio::task::yield_now().await;
    }
    // All of them have joined by now, one after the other on this thread.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()).await, completion(1));
    }
    assert_eq!(upstream.calls(), 2);
}

/// The first request fetches a new response. The others get the stale one meanwhile.
#[tokio::test]
async fn a_stale_entry_is_served_while_it_is_revalidated() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.freshness(Freshness::new().stale_while_revalidate(SECOND * 60));
    let gate = Arc::new(Semaphore::new(1));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&completion(number)))
        })
    });
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 310);
    let fetching = tokio::spawn(layer.layer(upstream.clone()).oneshot(plain()));
    while upstream.calls() < 2 {
        tokio::task::yield_now().await;
    }
    let stale = send(&layer, &upstream, plain()).await;
    assert_eq!(
        (status(&stale), &stale.headers()["age"]),
        ("hit; ttl=-10", &"310".parse().unwrap())
    );
    assert_eq!(text(stale).await, completion(0));
    // The fetching request is dropped, and the next one fetches.
    fetching.abort();
    assert!(fetching.await.is_err());
    let fetching = tokio::spawn(layer.layer(upstream.clone()).oneshot(plain()));
    while upstream.calls() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(0));
    gate.add_permits(1);
    let fetched = fetching.await.unwrap().unwrap();
    assert_eq!(status(&fetched), "fwd=stale");
    assert_eq!(text(fetched).await, completion(2));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(2));
    assert_eq!(upstream.calls(), 3);

    // After that time every request waits.
    clock.advance(SECOND * 360);
    gate.add_permits(1);
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(3));
}

#[tokio::test]
async fn a_stale_entry_replaces_errors() {
    type Failure = fn(Request<Payload>) -> Result<Response<ScriptedBody>, Fault>;
    let failures: [Failure; 3] = [
        |_| Err(Fault),
        |_| {
            let mut response = json(&completion(0));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        },
        |request| {
            let responder = RejectionFormat::Problem.for_request(&request);
            let rejection = Rejection::new(Refusal::UpstreamTimeout);
            let response = responder.respond::<()>(rejection, &context(&request));
            Ok(response.map(|_| ScriptedBody::default()))
        },
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        for stands_in in [true, false] {
            let (layer, clock) = layer(Scope::Identity);
            let layer = if stands_in {
                layer.freshness(Freshness::new().stale_if_error(SECOND * 60))
            } else {
                layer
            };
            let upstream = Upstream::of(move |number, request| {
                let response =
                    if number == 0 { Ok(json(&completion(0))) } else { failure(request) };
                Box::pin(async { response })
            });
            body_of(&layer, &upstream, plain()).await;
            clock.advance(SECOND * 310);
            for _ in 0..2 {
                let request = plain();
                let context = context(&request);
                let response = layer.layer(upstream.clone()).oneshot(request).await;
                let stale = response.as_ref().is_ok_and(|response| {
                    response.status() == StatusCode::OK && status(response) == "hit; ttl=-10"
                });
                assert_eq!(stale, stands_in, "{number}");
                if let Ok(response) = response {
                    text(response).await;
                }
                // The record of such a request is that of a hit.
                let outcome = context.outcome();
                assert_eq!(outcome.cache == Some(CacheOutcome::Hit), stands_in, "{number}");
                let rejection = (number == 2 && !stands_in).then_some("upstream-timeout");
                assert_eq!(outcome.rejection, rejection, "{number}");
            }
            assert_eq!(upstream.calls(), 3);
            // The entry has expired.
            clock.advance(SECOND * 50);
            let response = layer.layer(upstream.clone()).oneshot(plain()).await;
            assert!(
                !response.is_ok_and(|response| response.status() == StatusCode::OK),
                "{number}"
            );
        }
    }
}

#[tokio::test]
async fn a_stale_entry_replaces_no_other_response() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.freshness(Freshness::new().stale_if_error(SECOND * 60));
    let upstream = Upstream::new(|number, _| {
        let mut response = json(&completion(0));
        if number > 0 {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        response
    });
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 310);
    let response = send(&layer, &upstream, plain()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn must_revalidate_forbids_stale_entries() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.freshness(
        Freshness::new().stale_if_error(SECOND * 60).stale_while_revalidate(SECOND * 60),
    );
    let upstream = Upstream::of(|number, _| {
        let mut response = json(&completion(0));
        let control = "must-revalidate".parse().unwrap();
        response.headers_mut().insert("cache-control", control);
        let response = if number == 0 { Ok(response) } else { Err(Fault) };
        Box::pin(async { response })
    });
    body_of(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 301);
    assert!(layer.layer(upstream).oneshot(plain()).await.is_err());
}

#[tokio::test]
async fn wide_scopes_hide_cache_status_by_default() {
    for scope in [Scope::Tenant, Scope::Shared, Scope::by(|_| Some(String::new()))] {
        let (layer, clock) = layer(scope);
        let upstream = Upstream::new(|_, _| {
            let mut response = json(&completion(0));
            let date = "Mon, 23 Nov 2026 09:08:07 GMT".parse().unwrap();
            response.headers_mut().insert("date", date);
            response
        });
        body_of(&layer, &upstream, plain()).await;
        clock.advance(SECOND);
        let response = send(&layer, &upstream, plain()).await;
        for name in ["age", "cache-status", "date"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let shown = layer.cache_status();
        let response = send(&shown, &upstream, plain()).await;
        assert_eq!(
            (status(&response), &response.headers()["age"]),
            ("hit; ttl=299", &"1".parse().unwrap())
        );
        assert_eq!(upstream.calls(), 1);
    }
}
