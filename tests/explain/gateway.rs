//! Lines that a gateway has written.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::AuthLayer,
    limits::{Limit, Quota},
    request_id::RequestIdLayer,
    stack::Stack,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
};

use super::*;
use crate::written::Written;

#[tokio::test]
async fn a_rejected_request_is_explained_by_its_id() {
    let written = Written::default();
    let sink =
        Sink::new(written.clone()).unwrap().drain_timeout(std::time::Duration::from_secs(60));
    let issuer = TestIssuer::new();
    let limit = Limit::per_identity(Quota::per_day(1)).name("daily");
    let service = Stack::new()
        .request_id(RequestIdLayer::new())
        .access_log(AccessLogLayer::json(sink.clone()))
        .auth(AuthLayer::new(issuer.jwt()))
        .throttle(ThrottleLayer::new(limit))
        .layer(service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
        }));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = Request::get("/v1/models?key=secret");
        let request = request.header("authorization", issuer.token("ann").bearer());
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let Ok(response) = service.clone().oneshot(request).await;
        ids.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
        response.into_body().collect().await.unwrap();
    }
    assert!(sink.flush());
    let log = written.text();
    let words = |id: &str| explain_request(log.as_bytes(), id).unwrap()[0].to_string();

    let passed = words(&ids[0]);
    assert!(passed.contains("The response was passed on to its end with status 200"), "{passed}");
    let rejected = words(&ids[1]);
    assert!(rejected.contains("The caller is ann of https://issuer.example"), "{rejected}");
    assert!(rejected.contains("rejected the request: its limit daily is reached"), "{rejected}");
    assert!(rejected.contains("What you can do: Let the client wait"), "{rejected}");
    assert!(!rejected.contains("secret"), "{rejected}");
}
