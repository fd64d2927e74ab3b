//! Clients that send good and bad requests and leave at random.

use std::{convert::Infallible, pin::pin, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};
use tower_inference::test_util::{TestIssuer, TestToken};

use crate::{
    random::Random,
    upstream::{Flow, Step},
};

/// What a client has sent and seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub id: String,
    /// The caller of a valid token.
    pub subject: Option<String>,
    pub status: Option<u16>,
    pub bytes: u64,
    pub end: End,
}

/// How the exchange ended for the client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum End {
    /// The client left before the head.
    LeftEarly,
    /// The client left within the body.
    Left,
    Whole,
    Broken,
    /// The service panicked, which ends the connection.
    #[default]
    Panicked,
}

/// The tokens of the callers.
pub struct Tokens {
    valid: Vec<(String, TestToken)>,
    expired: TestToken,
    forged: String,
}

impl Tokens {
    pub fn new(issuer: &TestIssuer) -> Self {
        let valid = (0..6).map(|number| format!("caller-{number}"));
        let valid = valid.map(|subject| (subject.clone(), issuer.token(&subject))).collect();
        let forged = TestIssuer::new().token("caller-1").bearer();
        Self { valid, expired: issuer.token("caller-1").expired(), forged }
    }
}

/// Makes a request and what the client knows about it.
pub fn request(number: usize, tokens: &Tokens, random: &mut Random) -> (Request<Flow>, Seen) {
    let mut seen = Seen { id: format!("r-{number}"), ..Seen::default() };
    let mut request = Request::builder().header("x-request-id", &*seen.id);
    let bearer = match random.below(16) {
        0 => None,
        1 => Some(tokens.expired.bearer()),
        2 => Some(tokens.forged.clone()),
        _ => {
            let (subject, token) = random.pick(&tokens.valid);
            seen.subject = Some(subject.clone());
            Some(token.bearer())
        }
    };
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let (method, path) = match random.below(24) {
        0 => (Method::POST, "/admin"),
        1 => (Method::DELETE, "/v1/chat/completions"),
        _ => (Method::POST, "/v1/chat/completions"),
    };
    let model = match random.below(12) {
        0 => "org/forbidden",
        1..6 => "org/small",
        _ => "org/large",
    };
    let stream = random.one_in(2);
    // Few prompts, so that some requests are repeated and share calls.
    let prompt = random.below(60);
    let body = match random.below(24) {
        0 => "{\"model\":".to_owned(),
        1 => format!(r#"{{"model":"{model}","messages":"no list"}}"#),
        2 => format!(r#"{{"model":"{model}","messages":[],"user":"{}"}}"#, "x".repeat(5_000)),
        _ => format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"prompt {prompt}"}}],"stream":{stream},"temperature":0}}"#
        ),
    };
    let whole = Step::Data(body.into());
    let body = match random.below(24) {
        0 => Flow::new([Step::Data(Bytes::from_static(b"{")), Step::Stall]),
        1 => Flow::new([Step::Data(Bytes::from_static(b"{")), Step::Fail]),
        2..8 => Flow::new([Step::Wait(random.milliseconds(9)), whole]),
        _ => Flow::new([whole]),
    };
    let media_type = if random.one_in(40) { "text/plain" } else { "application/json" };
    let request = request.method(method).uri(path).header("content-type", media_type);
    (request.body(body).unwrap(), seen)
}

/// Sends the request and reads the response, or leaves at random.
pub async fn exchange<S, R>(
    mut service: S,
    request: Request<Flow>,
    mut seen: Seen,
    mut random: Random,
) -> Seen
where
    S: Service<Request<Flow>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    let leaves = random.one_in(3);
    let patience = if leaves { random.milliseconds(30) } else { Duration::from_secs(3_600) };
    // Without a pause, rejected clients alone would fill the run.
    sleep(random.milliseconds(400)).await;
    // Ready at once: a request that waits for readiness has not arrived.
    service.ready().await.unwrap();
    let call = service.call(request);
    if leaves && random.one_in(8) {
        // The call is dropped before its first poll.
        drop(call);
        return Seen { end: End::LeftEarly, ..seen };
    }
    let Ok(response) = timeout(patience, call).await else {
        return Seen { end: End::LeftEarly, ..seen };
    };
    let Ok(response) = response;
    seen.status = Some(response.status().as_u16());
    let most = if leaves { random.below(6) } else { u64::MAX };
    let mut body = pin!(response.into_body());
    for _ in 0..most {
        match timeout(patience, body.frame()).await {
            Err(_) => return Seen { end: End::Left, ..seen },
            Ok(None) => return Seen { end: End::Whole, ..seen },
            Ok(Some(Err(_))) => return Seen { end: End::Broken, ..seen },
            Ok(Some(Ok(frame))) => {
                seen.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
        }
    }
    Seen { end: End::Left, ..seen }
}
