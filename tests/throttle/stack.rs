//! The layer outside and inside of authentication, always before the body is read.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, Jwt, Keys},
    limits::{Concurrency, Limit, Rate},
    payload::{Payload, PayloadLayer},
    peer::PeerAddress,
    record::{Record, RecordSink},
    rejection::Rejection,
    stack::Stack,
    throttle::ThrottleLayer,
};

use crate::{
    layer,
    support::{Probe, ScriptedBody, Step},
    token::{self, Signer},
};

/// The status of each request, the limit that rejected it and the limit in shadow that would have.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Told>>>);

type Told = (u16, Option<String>, Option<String>);

impl RecordSink for Seen {
    fn record(&self, record: &Record<'_>) {
        let (status, [limit, shadow]) = (record.status(), [record.limit(), record.limit_shadow()]);
        let told = (status.unwrap().as_u16(), limit.map(Into::into), shadow.map(Into::into));
        self.0.lock().unwrap().push(told);
    }
}

/// Returns the slug of the rejection of a request whose body never arrives.
async fn slug(peers: &ThrottleLayer, callers: &ThrottleLayer, token: &str) -> (u16, &'static str) {
    // Reading the body would never end.
    let body = ScriptedBody::new([Step::Stall]);
    let request = Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(body)
        .unwrap();
    let service = Stack::new()
        .payload(PayloadLayer::new())
        .throttle(callers.clone())
        .auth(auth())
        .peer_throttle(peers.clone())
        .layer(Probe::new(|_: Request<Payload>| Response::new(Empty::<Bytes>::new())));
    let response = service.oneshot(request).await.unwrap();
    let rejection = response.extensions().get::<Rejection>().unwrap();
    (response.status().as_u16(), rejection.refusal().slug())
}

fn auth() -> AuthLayer {
    let keys = Keys::from_jwks(signer().jwks().as_bytes()).unwrap();
    AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE))
}

fn signer() -> &'static Signer {
    static SIGNER: std::sync::LazyLock<Signer> = std::sync::LazyLock::new(Signer::es256);
    &SIGNER
}

#[tokio::test]
async fn addresses_are_limited_before_auth_and_callers_before_the_body() {
    let none = Rate::per_second(0);
    let open = || layer(Limit::global(Rate::per_hour(100))).0;
    let peers = layer(Limit::per_peer(PeerAddress::connection(), none)).0;
    let callers = layer(Limit::per_identity(none)).0;
    let token = signer().sign(&token::claims());
    // A flooding address is rejected before authentication.
    assert_eq!(slug(&peers, &open(), "no-token").await, (429, "throttled"));
    assert_eq!(slug(&open(), &callers, "no-token").await, (401, "invalid-token"));
    // The body never arrives, and the layer does not wait for it.
    assert_eq!(slug(&open(), &callers, &token).await, (429, "throttled"));
}

#[tokio::test]
async fn requests_in_flight_are_counted_before_the_body_is_read() {
    let callers = ThrottleLayer::new(Limit::per_identity(Concurrency::new(1)));
    let service = Stack::new().payload(PayloadLayer::new()).throttle(callers).auth(auth());
    let service =
        service.layer(Probe::new(|_: Request<Payload>| Response::new(Empty::<Bytes>::new())));
    let token = signer().sign(&token::claims());
    let request = || {
        Request::post("/v1/chat/completions")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(ScriptedBody::new([Step::Data(b"{"), Step::Stall]))
            .unwrap()
    };
    let mut unfinished = Box::pin(service.clone().oneshot(request()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(unfinished.as_mut().poll(&mut cx).is_pending());
    let refused = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(refused.status(), 429);
    // The permit is free once the first request has ended.
    drop(unfinished);
    let mut next = Box::pin(service.oneshot(request()));
    assert!(next.as_mut().poll(&mut cx).is_pending());
}

#[tokio::test]
async fn the_access_log_names_the_limits() {
    let seen = Seen::default();
    let (limits, _clock) = layer(Limit::global(Rate::per_hour(1)).shadow().name("soon"));
    let limits = limits.limit(Limit::global(Rate::per_hour(2)));
    for _ in 0..3 {
        let inner = Probe::new(|_| Response::new(Empty::<Bytes>::new()));
        let service = (AccessLogLayer::sink(seen.clone()), limits.clone()).layer(inner);
        drop(service.oneshot(Request::new(Empty::<Bytes>::new())).await.unwrap());
    }
    let soon = || Some("soon".to_owned());
    let expected =
        [(200, None, None), (200, None, soon()), (429, Some("global".to_owned()), soon())];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}
