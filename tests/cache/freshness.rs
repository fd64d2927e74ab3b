//! How long an answer is given, and who may ask for another.

use tokio::sync::Semaphore;
use tower_inference::{
    cache::Unauthorized,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

fn asking(control: &'static str) -> Request<Payload> {
    let mut request = plain();
    request.headers_mut().insert("cache-control", control.parse().unwrap());
    request
}

/// A layer that lets callers control it.
fn controlled() -> (CacheLayer, FakeClock) {
    let (layer, clock) = layer(Scope::Identity);
    (layer.may_control(|identity| identity.subject() == "a"), clock)
}

fn status(answer: &Answer) -> &str {
    let status = answer.headers()["cache-status"].to_str().unwrap();
    status.strip_prefix("tower-inference; ").unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn each_route_and_model_may_have_a_time_of_its_own() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer
        .ttl(SECOND * 10)
        .ttl_of_route("embeddings", SECOND * 20)
        .ttl_of_model("slow", SECOND * 30)
        .ttl_of_model("never", Duration::ZERO);
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
        told(&layer, &upstream, of(route, model)).await;
        clock.advance(SECOND * (ttl - 1));
        assert_eq!(status(&ask(&layer, &upstream, of(route, model)).await), "hit; ttl=1");
        clock.advance(SECOND);
        assert!(status(&ask(&layer, &upstream, of(route, model)).await).starts_with("fwd=miss"));
    }
    assert_eq!(status(&ask(&layer, &upstream, of("chat", "never")).await), "fwd=bypass");
}

#[tokio::test]
async fn the_answer_has_a_say_when_it_is_asked() {
    let says = |control: &'static str| {
        Upstream::new(move |_, _| {
            let mut response = json("[]");
            response.headers_mut().insert("cache-control", control.parse().unwrap());
            response
        })
    };
    for (asked, expected) in [(false, "hit; ttl=300"), (true, "hit; ttl=7")] {
        let (layer, _) = layer(Scope::Identity);
        let layer = if asked { layer.ttl_from_answers() } else { layer };
        let upstream = says("max-age=7");
        told(&layer, &upstream, plain()).await;
        assert_eq!(status(&ask(&layer, &upstream, plain()).await), expected);
    }
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.ttl_from_answers();
    let upstream = says("max-age=0");
    told(&layer, &upstream, plain()).await;
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn what_another_cache_had_is_as_old_as_it_says() {
    let (layer, clock) = layer(Scope::Identity);
    clock.advance(SECOND * 1_000);
    let upstream = Upstream::new(|_, _| {
        let mut response = json("[]");
        response.headers_mut().insert("age", "100".parse().unwrap());
        response
    });
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 5);
    assert_eq!(ask(&layer, &upstream, plain()).await.headers()["age"], "105");
}

/// RFC 9651 section 3.3.1: 15 digits.
#[tokio::test]
async fn a_time_without_end_is_told_as_a_field_can() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.ttl(Duration::MAX);
    let upstream = Upstream::numbers();
    told(&layer, &upstream, plain()).await;
    assert_eq!(status(&ask(&layer, &upstream, plain()).await), "hit; ttl=999999999999999");
}

#[tokio::test]
async fn a_clock_set_back_makes_nothing_young_again() {
    let (layer, clock) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 300);
    clock.set_wall(std::time::UNIX_EPOCH);
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":1}"#);
}

#[tokio::test]
async fn who_may_is_given_what_they_ask_for() {
    let (layer, clock) = controlled();
    let upstream = Upstream::numbers();
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 100);
    let is_hit = async |control| {
        let answer = ask(&layer, &upstream, asking(control)).await;
        let hit = status(&answer).starts_with("hit");
        if !hit {
            assert_eq!(status(&answer), "fwd=request");
            // Left before its end: what was kept stays.
            drop(answer);
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
    let stored = ask(&layer, &upstream, asking("no-store")).await;
    assert_eq!(status(&stored), "fwd=bypass");
    assert_eq!(text(stored).await, r#"{"call":5}"#);
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":0}"#);
    // What is asked for anew is kept in place of the other.
    assert_eq!(told(&layer, &upstream, asking("no-cache")).await, r#"{"call":6}"#);
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":6}"#);
}

#[tokio::test]
async fn what_is_only_to_be_given_if_it_is_kept_calls_nobody() {
    let (layer, _) = controlled();
    let upstream = Upstream::numbers();
    let answer = ask(&layer, &upstream, asking("only-if-cached")).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let refusal = answer.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!((refusal, upstream.calls()), (Refusal::NotCached, 0));
}

#[tokio::test]
async fn who_may_not_is_told_as_the_settings_say() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    let not_me = layer.may_control(|identity| identity.subject() == "somebody else");
    told(&not_me, &upstream, plain()).await;

    let ignored = ask(&not_me, &upstream, asking("no-cache")).await;
    assert_eq!(status(&ignored), "hit; ttl=300");
    assert!(!ignored.headers().contains_key("warning"));

    let warned = not_me.clone().unauthorized(Unauthorized::Warn);
    let answer = ask(&warned, &upstream, asking("no-cache")).await;
    assert_eq!(status(&answer), "hit; ttl=300");
    assert_eq!(answer.headers()["warning"], "199 - \"cache-control of the request was ignored\"");
    assert!(!ask(&warned, &upstream, plain()).await.headers().contains_key("warning"));

    let refused = not_me.unauthorized(Unauthorized::Refuse);
    let answer = ask(&refused, &upstream, asking("max-age=0")).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.extensions().get::<Rejection>().unwrap().refusal(), Refusal::Forbidden);
    assert_eq!(ask(&refused, &upstream, plain()).await.status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_flood_of_no_cache_stays_one_call() {
    let (layer, _) = controlled();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&format!("{{\"call\":{number}}}")))
        })
    });
    gate.add_permits(1);
    told(&layer, &upstream, plain()).await;
    let service = layer.layer(upstream.clone());
    let calls: Vec<_> =
        (0..100).map(|_| tokio::spawn(service.clone().oneshot(asking("no-cache")))).collect();
    while upstream.calls() < 2 {
        tokio::task::yield_now().await;
    }
    // All of them have come by now: one after the other, on this one thread.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()).await, r#"{"call":1}"#);
    }
    assert_eq!(upstream.calls(), 2);
}

/// The first who finds it stale fetches; the others are given what there is meanwhile.
#[tokio::test]
async fn what_is_stale_is_given_while_another_fetches_it() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.stale_while_revalidate(SECOND * 60);
    let gate = Arc::new(Semaphore::new(1));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&format!("{{\"call\":{number}}}")))
        })
    });
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 310);
    let fetching = tokio::spawn(layer.layer(upstream.clone()).oneshot(plain()));
    while upstream.calls() < 2 {
        tokio::task::yield_now().await;
    }
    let stale = ask(&layer, &upstream, plain()).await;
    assert_eq!(
        (status(&stale), &stale.headers()["age"]),
        ("hit; ttl=-10", &"310".parse().unwrap())
    );
    assert_eq!(text(stale).await, r#"{"call":0}"#);
    // Who fetches may leave: the next one does.
    fetching.abort();
    assert!(fetching.await.is_err());
    let fetching = tokio::spawn(layer.layer(upstream.clone()).oneshot(plain()));
    while upstream.calls() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":0}"#);
    gate.add_permits(1);
    let fetched = fetching.await.unwrap().unwrap();
    assert_eq!(status(&fetched), "fwd=stale");
    assert_eq!(text(fetched).await, r#"{"call":2}"#);
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":2}"#);
    assert_eq!(upstream.calls(), 3);

    // After that time, everybody waits.
    clock.advance(SECOND * 360);
    gate.add_permits(1);
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":3}"#);
}

#[tokio::test]
async fn what_is_stale_stands_in_for_errors() {
    type Failure = fn(Request<Payload>) -> Result<Response<ScriptedBody>, Fault>;
    let failures: [Failure; 3] = [
        |_| Err(Fault),
        |_| {
            let mut response = json("[]");
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
            let layer = if stands_in { layer.stale_if_error(SECOND * 60) } else { layer };
            let upstream = Upstream::of(move |number, request| {
                let answer = if number == 0 { Ok(json("[]")) } else { failure(request) };
                Box::pin(async { answer })
            });
            told(&layer, &upstream, plain()).await;
            clock.advance(SECOND * 310);
            for _ in 0..2 {
                let answer = layer.layer(upstream.clone()).oneshot(plain()).await;
                let stale = answer.is_ok_and(|answer| {
                    answer.status() == StatusCode::OK && status(&answer) == "hit; ttl=-10"
                });
                assert_eq!(stale, stands_in, "{number}");
            }
            assert_eq!(upstream.calls(), 3);
            // And no longer than that.
            clock.advance(SECOND * 50);
            let answer = layer.layer(upstream.clone()).oneshot(plain()).await;
            assert!(!answer.is_ok_and(|answer| answer.status() == StatusCode::OK), "{number}");
        }
    }
}

#[tokio::test]
async fn nothing_stands_in_for_what_is_no_failure_of_the_upstream() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.stale_if_error(SECOND * 60);
    let upstream = Upstream::new(|number, _| {
        let mut response = json("[]");
        if number > 0 {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        response
    });
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 310);
    let answer = ask(&layer, &upstream, plain()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn what_must_be_fetched_anew_is_never_given_stale() {
    let (layer, clock) = layer(Scope::Identity);
    let layer = layer.stale_if_error(SECOND * 60).stale_while_revalidate(SECOND * 60);
    let upstream = Upstream::of(|number, _| {
        let mut response = json("[]");
        let control = "must-revalidate".parse().unwrap();
        response.headers_mut().insert("cache-control", control);
        let answer = if number == 0 { Ok(response) } else { Err(Fault) };
        Box::pin(async { answer })
    });
    told(&layer, &upstream, plain()).await;
    clock.advance(SECOND * 301);
    assert!(layer.layer(upstream).oneshot(plain()).await.is_err());
}

#[tokio::test]
async fn callers_who_share_are_not_told_how_unless_that_is_asked_for() {
    for scope in [Scope::Tenant, Scope::Shared, Scope::by(|_| Some(String::new()))] {
        let (layer, clock) = layer(scope);
        let upstream = Upstream::new(|_, _| {
            let mut response = json("[]");
            let date = "Mon, 23 Nov 2026 09:08:07 GMT".parse().unwrap();
            response.headers_mut().insert("date", date);
            response
        });
        told(&layer, &upstream, plain()).await;
        clock.advance(SECOND);
        let answer = ask(&layer, &upstream, plain()).await;
        for name in ["age", "cache-status", "date"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
        let shown = layer.cache_status(true);
        let answer = ask(&shown, &upstream, plain()).await;
        assert_eq!(
            (status(&answer), &answer.headers()["age"]),
            ("hit; ttl=299", &"1".parse().unwrap())
        );
        assert_eq!(upstream.calls(), 1);
    }
    let (layer, _) = layer(Scope::Identity);
    let answer = ask(&layer.cache_status(false), &Upstream::numbers(), plain()).await;
    assert!(!answer.headers().contains_key("cache-status"));
}
