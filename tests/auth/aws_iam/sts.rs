//! Presigned calls of STS, against an STS in this process that recomputes their signatures.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_inference::{
    auth::{
        AuthLayer,
        aws_iam::{StsError, StsIdentity},
    },
    clock::FakeClock,
    identity::Proof,
    rejection::Refusal,
};

use super::{
    super::{Outcome, jwt, send},
    sign::{DATE, ID, NOW, Signing, clock_at, sha256},
};

const SERVER_ID: &str = "gw.example";
const ACCOUNT: &str = "123456789012";

/// What the STS of a test does.
#[derive(Clone, Debug)]
enum Mode {
    Caller { arn: String, account: &'static str },
    Respond(u16, &'static str),
    Redirect,
    Hang,
    Break,
    Endless,
}

impl Mode {
    fn role(session: &str) -> Self {
        Self::arn(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/infer/{session}"))
    }

    fn arn(arn: &str) -> Self {
        Self::Caller { arn: arn.to_owned(), account: ACCOUNT }
    }
}

#[derive(Clone)]
struct Sts {
    mode: Arc<Mutex<Mode>>,
    calls: Arc<AtomicUsize>,
    last: Arc<Mutex<Option<http::request::Parts>>>,
}

type Client = BoxCloneSyncService<Request<Empty<Bytes>>, Response<Full<Bytes>>, std::io::Error>;

impl Sts {
    fn new(mode: Mode) -> Self {
        Self { mode: Arc::new(Mutex::new(mode)), calls: Arc::default(), last: Arc::default() }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn client(&self) -> Client {
        let sts = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Empty<Bytes>>| {
            let sts = sts.clone();
            async move { sts.respond(request.into_parts().0).await }
        }))
    }

    async fn respond(
        &self,
        head: http::request::Parts,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        self.calls.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        let is_signed = is_signed(&head);
        *self.last.lock().unwrap() = Some(head);
        let mode = self.mode.lock().unwrap().clone();
        let response = |status: u16, body: String| {
            Response::builder().status(status).body(Full::from(body)).unwrap()
        };
        Ok(match mode {
            _ if !is_signed => response(403, "{}".into()),
            Mode::Caller { arn, account } => response(
                200,
                format!(
                    r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":
                    "{account}","Arn":"{arn}","UserId":"AROA:s"}},"ResponseMetadata":{{}}}}}}"#
                ),
            ),
            Mode::Respond(status, body) => response(status, body.into()),
            Mode::Redirect => {
                let mut response = response(302, String::new());
                let place = HeaderValue::from_static("https://evil.example/");
                response.headers_mut().insert("location", place);
                response
            }
            Mode::Hang => std::future::pending().await,
            Mode::Break => return Err(std::io::ErrorKind::ConnectionReset.into()),
            Mode::Endless => response(200, " ".repeat(17 * 1024)),
        })
    }
}

/// Recomputes the signature of the query as AWS does.
fn is_signed(head: &http::request::Parts) -> bool {
    let query = head.uri.query().unwrap();
    let (signed, signature) = query.rsplit_once("&X-Amz-Signature=").unwrap();
    let mut pairs: Vec<&str> = signed.split('&').collect();
    pairs.sort_unstable();
    let host = head.headers.get("host").map(|host| host.to_str().unwrap());
    let host = host.or_else(|| head.uri.host());
    let server_id = head.headers["x-inference-server-id"].to_str().unwrap();
    let canonical = format!(
        "{}\n/\n{}\nhost:{}\nx-inference-server-id:{server_id}\n\nhost;x-inference-server-id\n{}",
        head.method,
        pairs.join("&"),
        host.unwrap(),
        sha256(b"")
    );
    let date = pairs.iter().find_map(|pair| pair.strip_prefix("X-Amz-Date=")).unwrap();
    signing(date).sign(&canonical) == signature
}

fn signing(date: &str) -> Signing<'_> {
    Signing { date, service: "sts", ..Signing::default() }
}

/// A presigned URL as botocore makes it.
fn url(date: &str, expires: u32, server_id: &str) -> String {
    let signing = signing(date);
    let query = format!(
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
         X-Amz-Credential={ID}%2F{}&X-Amz-Date={date}&X-Amz-Expires={expires}&\
         X-Amz-SignedHeaders=host%3Bx-inference-server-id",
        signing.scope().replace('/', "%2F")
    );
    let host = "sts.us-east-1.amazonaws.com";
    let canonical = format!(
        "GET\n/\n{query}\nhost:{host}\nx-inference-server-id:{server_id}\n\n\
         host;x-inference-server-id\n{}",
        sha256(b"")
    );
    format!("https://{host}/?{query}&X-Amz-Signature={}", signing.sign(&canonical))
}

fn token_of(url: &str) -> String {
    format!("aws-sts-v1.{}", URL_SAFE_NO_PAD.encode(url))
}

fn token() -> String {
    token_of(&url(DATE, 900, SERVER_ID))
}

fn with(token: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().uri("/v1/chat/completions");
    let request = request.header("authorization", format!("Bearer {token}"));
    request.body(Full::default()).unwrap()
}

fn settings(sts: &Sts, clock: &FakeClock) -> StsIdentity {
    StsIdentity::new(SERVER_ID, [ACCOUNT], sts.client()).unwrap().clock(clock.shared())
}

fn layer(sts: &Sts) -> AuthLayer {
    AuthLayer::new(settings(sts, &clock_at(NOW)))
}

async fn try_token(layer: &AuthLayer, token: &str) -> Outcome {
    send(layer, with(token)).await
}

fn is_invalid(outcome: &Outcome) {
    assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::InvalidToken), 0));
    assert_eq!(outcome.rejection.as_ref().unwrap().detail(), "invalid bearer token");
}

#[tokio::test]
async fn caller_has_the_identity_that_sts_returns() {
    let sts = Sts::new(Mode::role("session-1"));
    let layer = AuthLayer::new(settings(&sts, &clock_at(NOW)).scopes(["infer"]));
    let outcome = try_token(&layer, &token()).await;
    assert!(outcome.passed());
    let identity = outcome.identity.unwrap();
    assert_eq!((identity.proof(), identity.issuer()), (Proof::AwsIam, "aws-sts"));
    assert_eq!(identity.subject(), "arn:aws:iam::123456789012:role/infer");
    assert_eq!(identity.tenant(), Some(ACCOUNT));
    assert_eq!(identity.claim("session").unwrap(), "session-1");
    assert_eq!(
        identity.claim("arn").unwrap(),
        "arn:aws:sts::123456789012:assumed-role/infer/session-1"
    );
    assert!(identity.has_scope("infer"));

    // The request has what we have written, and nothing of the client.
    let head = sts.last.lock().unwrap().take().unwrap();
    assert_eq!((head.method.as_str(), head.uri.scheme_str()), ("GET", Some("https")));
    assert_eq!(head.uri.authority().unwrap(), "sts.us-east-1.amazonaws.com");
    assert_eq!(head.uri.path(), "/");
    let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-inference-server-id"]);
    assert_eq!(head.headers["accept"], "application/json");
    assert_eq!(head.headers["x-inference-server-id"], SERVER_ID);
}

#[tokio::test]
async fn session_name_is_no_part_of_the_subject() {
    let sts = Sts::new(Mode::role("one"));
    let layer = layer(&sts);
    let one = try_token(&layer, &token()).await.identity.unwrap();
    sts.set(Mode::role("admin"));
    let other = token_of(&url(DATE, 899, SERVER_ID));
    let other = try_token(&layer, &other).await.identity.unwrap();
    assert_eq!(one.principal(), other.principal());
    assert_ne!(one.claim("session"), other.claim("session"));
}

#[tokio::test]
async fn token_for_another_server_is_refused() {
    let sts = Sts::new(Mode::role("s"));
    let layer = layer(&sts);
    is_invalid(&try_token(&layer, &token_of(&url(DATE, 900, "other.example"))).await);
    assert_eq!(sts.calls(), 1);
    let unsigned = url(DATE, 900, SERVER_ID).replace("host%3Bx-inference-server-id", "host");
    is_invalid(&try_token(&layer, &token_of(&unsigned)).await);
    // Without a call.
    assert_eq!(sts.calls(), 1);
}

#[tokio::test]
async fn urls_that_are_no_call_of_sts_are_refused_without_a_call() {
    let sts = Sts::new(Mode::role("s"));
    let layer = layer(&sts);
    let url = url(DATE, 900, SERVER_ID);
    for (from, to) in [
        ("https://sts.us-east-1.amazonaws.com", "https://evil.example"),
        ("https:", "http:"),
        // AWS has no such region.
        ("us-east-1", "us-east-9"),
        ("GetCallerIdentity", "GetSessionToken"),
        ("?Action", "?action=GetSessionToken&Action"),
        ("?Action", "?X=1&Action"),
        (".com/", ".com:8443/"),
        (".com/", ".com/x"),
    ] {
        is_invalid(&try_token(&layer, &token_of(&url.replace(from, to))).await);
    }
    is_invalid(&try_token(&layer, "aws-sts-v1.").await);
    is_invalid(&try_token(&layer, &format!("aws-sts-v1.{}", "a".repeat(8 << 10))).await);
    assert_eq!(sts.calls(), 0);
}

#[tokio::test]
async fn good_and_bad_results_are_remembered_and_calls_are_shared() {
    let sts = Sts::new(Mode::role("s"));
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(settings(&sts, &clock));
    let token = token();
    let try_one = || try_token(&layer, &token);
    let (one, two, three) = tokio::join!(try_one(), try_one(), try_one());
    assert!(one.passed() && two.passed() && three.passed());
    assert!(try_one().await.passed());
    assert_eq!(sts.calls(), 1);

    let signed = url(DATE, 900, SERVER_ID);
    let forged = token_of(&format!("{}000000", &signed[..signed.len() - 6]));
    for _ in 0..3 {
        is_invalid(&try_token(&layer, &forged).await);
    }
    assert_eq!(sts.calls(), 2);
    clock.advance(Duration::from_secs(11));
    is_invalid(&try_token(&layer, &forged).await);
    assert_eq!(sts.calls(), 3);
}

#[tokio::test]
async fn token_is_valid_for_fifteen_minutes_at_most() {
    let sts = Sts::new(Mode::role("s"));
    let at = |now| AuthLayer::new(settings(&sts, &clock_at(now)));
    let is_expired = |outcome: Outcome| {
        assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::ExpiredToken), 0));
    };
    let day = token_of(&url(DATE, 86_400, SERVER_ID));
    assert!(try_token(&at(NOW + 900), &day).await.passed());
    is_expired(try_token(&at(NOW + 901), &day).await);
    let minute = token_of(&url(DATE, 60, SERVER_ID));
    assert!(try_token(&at(NOW + 60), &minute).await.passed());
    is_expired(try_token(&at(NOW + 61), &minute).await);
    assert!(try_token(&at(NOW - 300), &minute).await.passed());
    is_invalid(&try_token(&at(NOW - 301), &minute).await);
    let short = settings(&sts, &clock_at(NOW + 31)).max_age(Duration::from_secs(30));
    is_expired(try_token(&AuthLayer::new(short), &day).await);

    // A remembered caller expires on both clocks.
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(settings(&sts, &clock));
    assert!(try_token(&layer, &minute).await.passed());
    clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(NOW + 61));
    is_expired(try_token(&layer, &minute).await);
    clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(NOW));
    clock.advance(Duration::from_secs(61));
    is_expired(try_token(&layer, &minute).await);
}

#[tokio::test]
async fn accounts_and_partitions_are_allowed_by_name() {
    let sts = Sts::new(Mode::Caller {
        arn: "arn:aws:iam::999999999999:user/ann".into(),
        account: "999999999999",
    });
    let outcome = try_token(&layer(&sts), &token()).await;
    assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::Forbidden), 0));
    // The same digits in another partition are another account.
    let china = ["aws-cn:123456789012"];
    let china = StsIdentity::new(SERVER_ID, china, sts.client()).unwrap();
    let china = AuthLayer::new(china.clock(clock_at(NOW).shared()));
    sts.set(Mode::role("s"));
    is_invalid(&try_token(&china, &token()).await);
    assert_eq!(sts.calls(), 1);
    let elsewhere = settings(&sts, &clock_at(NOW)).regions(["eu-west-1"]).unwrap();
    is_invalid(&try_token(&AuthLayer::new(elsewhere), &token()).await);
    assert_eq!(sts.calls(), 1);
    // An ARN of another account or partition than the response and the host.
    for arn in ["arn:aws:iam::999999999999:user/ann", "arn:aws-cn:iam::123456789012:user/ann"] {
        sts.set(Mode::arn(arn));
        is_invalid(&try_token(&layer(&sts), &token()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn failing_sts_rejects_with_503_and_is_asked_again_after_a_second() {
    let sts = Sts::new(Mode::Hang);
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(settings(&sts, &clock));
    let ok = "{\"GetCallerIdentityResponse\":{}}";
    for mode in [
        Mode::Hang,
        Mode::Break,
        Mode::Redirect,
        Mode::Endless,
        Mode::Respond(500, ""),
        Mode::Respond(503, ""),
        Mode::Respond(429, ""),
        Mode::Respond(204, ""),
        Mode::Respond(200, ""),
        Mode::Respond(200, ok),
        Mode::Respond(200, "<GetCallerIdentityResponse/>"),
    ] {
        let before = sts.calls();
        sts.set(mode.clone());
        for _ in 0..2 {
            let outcome = try_token(&layer, &token()).await;
            assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable), "{mode:?}");
            assert_eq!((outcome.status, outcome.calls), (StatusCode::SERVICE_UNAVAILABLE, 0));
        }
        assert_eq!(sts.calls(), before + 1, "{mode:?}");
        clock.advance(Duration::from_secs(1));
    }
    for status in [400, 401, 403] {
        sts.set(Mode::Respond(status, "{}"));
        is_invalid(&try_token(&layer, &token()).await);
        clock.advance(Duration::from_secs(10));
    }
    sts.set(Mode::role("s"));
    assert!(try_token(&layer, &token()).await.passed());
}

#[tokio::test]
async fn calls_of_one_address_are_bounded() {
    let sts = Sts::new(Mode::role("s"));
    let clock = clock_at(NOW);
    let layer = AuthLayer::new(settings(&sts, &clock).max_calls_per_address(2));
    let from = async |address: &str, expires: u32| {
        let mut request = with(&token_of(&url(DATE, expires, SERVER_ID)));
        let address: SocketAddr = format!("{address}:1").parse().unwrap();
        request.extensions_mut().insert(address);
        send(&layer, request).await
    };
    for expires in [100, 101] {
        assert!(from("192.0.2.1", expires).await.passed());
    }
    let refused = from("192.0.2.1", 102).await;
    assert_eq!((refused.refusal(), sts.calls()), (Some(Refusal::Throttled), 2));
    assert_eq!(refused.headers["retry-after"], "60");
    // A remembered token and another address are not affected.
    assert!(from("192.0.2.1", 100).await.passed());
    assert!(from("192.0.2.2", 102).await.passed());
    assert_eq!(sts.calls(), 3);
    clock.advance(Duration::from_secs(60));
    assert!(from("192.0.2.1", 103).await.passed());
}

#[tokio::test]
async fn credential_is_one_and_is_not_passed_on() {
    let sts = Sts::new(Mode::role("s"));
    let layer = AuthLayer::new(jwt()).or(settings(&sts, &clock_at(NOW)));
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        assert!(!request.headers().contains_key("authorization"));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let response = layer.layer(inner).oneshot(with(&token())).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut twice = with(&token());
    let value = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", value);
    for layer in [layer, super::sts::layer(&sts)] {
        let mut twice_again = with(&token());
        twice_again.headers_mut().clone_from(twice.headers());
        let outcome = send(&layer, twice_again).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest));
    }
    // The scheme is compared without case (RFC 9110 section 11.1).
    let mut request = with(&token());
    let value = format!("bearer  {} ", token()).parse().unwrap();
    request.headers_mut().insert("authorization", value);
    assert!(send(&super::sts::layer(&sts), request).await.passed());
}

#[tokio::test]
async fn endpoint_of_a_test_is_on_this_machine_and_gets_the_host_of_aws() {
    let sts = Sts::new(Mode::role("s"));
    for refused in [
        "https://sts.evil.example",
        "http://10.0.0.1:5000",
        "http://127.0.0.1:5000/x",
        "http://127.0.0.1:5000/?x",
        "http://localhost.evil.example",
        "127.0.0.1:5000",
    ] {
        let error = settings(&sts, &clock_at(NOW)).sts_endpoint(refused).unwrap_err();
        assert_eq!(error, StsError::InvalidEndpoint, "{refused}");
    }
    let local = settings(&sts, &clock_at(NOW)).sts_endpoint("http://127.0.0.1:5000").unwrap();
    assert!(try_token(&AuthLayer::new(local), &token()).await.passed());
    let head = sts.last.lock().unwrap().take().unwrap();
    assert_eq!(head.uri.authority().unwrap(), "127.0.0.1:5000");
    assert_eq!(head.headers["host"], "sts.us-east-1.amazonaws.com");
}

#[test]
fn mistakes_are_found_when_the_settings_are_built() {
    let sts = Sts::new(Mode::Hang);
    let of = |id: &str, accounts: &[&str]| {
        StsIdentity::new(id, accounts.iter().copied(), sts.client()).map(drop)
    };
    assert_eq!(of(SERVER_ID, &[ACCOUNT, "aws-us-gov:123456789012"]), Ok(()));
    assert_eq!(of(SERVER_ID, &[]), Err(StsError::NoAccounts));
    for id in ["", "a b", "a\n", &"a".repeat(256)] {
        assert_eq!(of(id, &[ACCOUNT]), Err(StsError::InvalidServerId));
    }
    for account in ["", "1234", "12345678901x", "aws:", "other:123456789012", "*"] {
        assert_eq!(of(SERVER_ID, &[account]), Err(StsError::InvalidAccount(account.into())));
    }
    for name in ["host", "authorization", "x-amz-date"] {
        let error = settings(&sts, &clock_at(NOW)).server_id_header(name.parse().unwrap());
        assert_eq!(error.unwrap_err(), StsError::InvalidHeader);
    }
    let error = settings(&sts, &clock_at(NOW)).regions(["*"]).unwrap_err();
    assert_eq!(error, StsError::InvalidRegion("*".into()));
}
