//! The log of AWS IAM and the secrets that it never prints. The tests run in their own process,
//! because a process has one global subscriber.
#![allow(unreachable_pub, reason = "modules of one test crate")]

#[path = "support/log.rs"]
mod log;
#[path = "auth/aws_iam/sign.rs"]
#[allow(dead_code, reason = "each test crate uses a part of it")]
mod sign;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::auth::{AuthLayer, aws_iam::StsIdentity};
use tracing::Level;

use sign::{ID, NOW, SECRET, Signing, clock_at, send, sigv4};

#[tokio::test]
async fn missing_layer_is_reported_once() {
    log::listen(Level::TRACE);
    let inner = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = AuthLayer::new(sigv4()).layer(inner);
    for _ in 0..2 {
        let request = Signing::default().request("POST", "/", "{}");
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 500);
    }
    let lines = log::taken();
    assert_eq!(lines.matches("ERROR").count(), 1, "{lines}");
    assert!(lines.contains("put a `SignedBodyLayer` outside of `AuthLayer`"), "{lines}");
}

#[tokio::test]
async fn cause_of_a_rejected_signature_is_logged_without_its_parts() {
    log::listen(Level::TRACE);
    let layer = AuthLayer::new(sigv4());
    let signed = || Signing::default().request("GET", "/", "");
    let signature = signed().headers()["authorization"].to_str().unwrap().to_owned();
    let mut unknown = signed();
    let value = signature.replace(ID, "AKIDOTHER").parse().unwrap();
    unknown.headers_mut().insert("authorization", value);
    let mut token = signed();
    token.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("token-1"));
    let mut path = signed();
    *path.uri_mut() = "/other".parse().unwrap();
    let old = Signing { date: "20270115T070000Z", ..Signing::default() };
    let body = Signing::default().declared("/", "{}").map(|_| Full::from("other"));
    for (request, cause) in [
        (unknown, "the access key is unknown"),
        (token, "the session token differs"),
        (path, "the signature does not match"),
        (old.request("GET", "/", ""), "the signature is expired"),
        (body, "the request body does not match"),
    ] {
        assert_eq!(send(&layer, request).await.status, 401);
        let lines = log::taken();
        assert!(lines.contains(cause), "{cause}: {lines}");
        let secrets = [SECRET, "token-1", "AKIDOTHER", &signature[signature.len() - 64..]];
        assert!(secrets.iter().all(|secret| !lines.contains(secret)), "{lines}");
    }
}

#[tokio::test]
async fn failing_sts_is_reported_when_that_changes() {
    log::listen(Level::TRACE);
    let status = Arc::new(AtomicU16::new(500));
    let client = {
        let status = Arc::clone(&status);
        service_fn(move |_: Request<Empty<Bytes>>| {
            let response = Response::builder().status(status.load(SeqCst));
            async { Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap()) }
        })
    };
    let clock = clock_at(NOW);
    let settings = StsIdentity::new("gw.example", ["123456789012"], client).unwrap();
    let layer = AuthLayer::new(settings.clock(clock.shared()));
    let url = "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&\
        X-Amz-Algorithm=AWS4-HMAC-SHA256&\
        X-Amz-Credential=ASIAEXAMPLE%2F20270115%2Fus-east-1%2Fsts%2Faws4_request&\
        X-Amz-Date=20270115T080000Z&X-Amz-Security-Token=session-token&\
        X-Amz-SignedHeaders=host%3Bx-inference-server-id&\
        X-Amz-Signature=00000000000000000000000000000000000000000000000000000000000000ff";
    let token = format!("Bearer aws-sts-v1.{}", URL_SAFE_NO_PAD.encode(url));
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let service = layer.layer(inner);
    let mut lines = String::new();
    for next in [500, 302, 403, 403, 503] {
        status.store(next, SeqCst);
        let request = Request::builder().header("authorization", &token).body(()).unwrap();
        service.clone().oneshot(request).await.unwrap();
        lines.push_str(&log::taken());
        clock.advance(Duration::from_secs(30));
    }
    let count = |text: &str| lines.matches(text).count();
    assert_eq!(count("WARN"), 2, "{lines}");
    assert_eq!(count("STS verifies callers again"), 1, "{lines}");
    assert!(!lines.contains("session-token") && !lines.contains("0000ff"), "{lines}");
    assert!(!lines.contains(&token[20..]), "{lines}");
}

#[tokio::test]
async fn warning_about_sts_names_the_host_that_a_client_chose_and_is_bounded() {
    log::listen(Level::TRACE);
    // One region exists, and it refuses every signature.
    let client = service_fn(|request: Request<Empty<Bytes>>| async move {
        let exists = request.uri().host() == Some("sts.us-east-1.amazonaws.com");
        let refused = Response::builder().status(403).body(Full::<Bytes>::default()).unwrap();
        if exists { Ok(refused) } else { Err(std::io::Error::other("no such host")) }
    });
    let sts = StsIdentity::new("gw.example", ["123456789012"], client).unwrap();
    let sts = sts.regions(["zz-nowhere-1", "us-east-1"]).unwrap();
    let layer = AuthLayer::new(sts.clock(clock_at(NOW).shared()));
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let service = layer.layer(inner);
    for number in 0..6 {
        let region = if number % 2 == 0 { "zz-nowhere-1" } else { "us-east-1" };
        let url = format!(
            "https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&\
             X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20270115T080000Z&\
             X-Amz-Credential=AKID%2F20270115%2F{region}%2Fsts%2Faws4_request&\
             X-Amz-SignedHeaders=host%3Bx-inference-server-id&X-Amz-Signature={number:064x}"
        );
        let token = format!("Bearer aws-sts-v1.{}", URL_SAFE_NO_PAD.encode(url));
        let request = Request::builder().header("authorization", token).body(()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    let lines = log::taken();
    let count = |text: &str| lines.matches(text).count();
    assert_eq!((count(" WARN "), count("STS verifies callers again")), (1, 1), "{lines}");
    assert!(lines.contains("host=\"sts.zz-nowhere-1.amazonaws.com\""), "{lines}");
}
