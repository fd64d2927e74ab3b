//! A signer of its own, so that a mistake of the verifier is not repeated here.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{
        AuthLayer,
        aws_iam::{SigV4, SignedBodyLayer, SigningCredential, SigningCredentials},
    },
    clock::FakeClock,
    context::RequestContext,
    identity::Identity,
    payload::{Payload, PayloadLayer},
    rejection::{Refusal, Rejection},
    secret::Secret,
};

pub const ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const DATE: &str = "20270115T080000Z";
/// The second of [`DATE`].
pub const NOW: u64 = 1_800_000_000;

pub fn clock_at(seconds: u64) -> FakeClock {
    FakeClock::new(UNIX_EPOCH + Duration::from_secs(seconds))
}

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data))
}

fn hmac_sha256(key: &[u8], data: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data.as_bytes()).as_ref().to_vec()
}

/// What a client signs. The canonical request is written by hand in each test.
pub struct Signing<'a> {
    pub secret: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl Default for Signing<'_> {
    fn default() -> Self {
        Self { secret: SECRET, date: DATE, region: "us-east-1", service: "execute-api" }
    }
}

impl Signing<'_> {
    pub fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.date[..8], self.region, self.service)
    }

    pub fn sign(&self, canonical: &str) -> String {
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&self.date[..8], self.region, self.service, "aws4_request"] {
            key = hmac_sha256(&key, part);
        }
        let hash = sha256(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.date, self.scope());
        hex(hmac_sha256(&key, &text))
    }

    /// Returns `authorization` for a canonical request.
    pub fn authorization(&self, canonical: &str) -> String {
        let signed = canonical.lines().rev().nth(1).unwrap();
        let (scope, signature) = (self.scope(), self.sign(canonical));
        format!(
            "AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
    }

    /// Returns a signed request with `host` and `x-amz-date`.
    pub fn request(&self, method: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
        let hash = sha256(body.as_bytes());
        let canonical = format!(
            "{method}\n{path}\n\nhost:gw.example\nx-amz-date:{}\n\nhost;x-amz-date\n{hash}",
            self.date
        );
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gw.example")
            .header("x-amz-date", self.date)
            .header("authorization", self.authorization(&canonical))
            .body(Full::from(body))
            .unwrap()
    }

    /// Returns a signed request whose body is declared in `x-amz-content-sha256`.
    pub fn declared(&self, path: &str, body: &'static str) -> Request<Full<Bytes>> {
        let mut request = self.request("POST", path, body);
        let hash = sha256(body.as_bytes()).parse().unwrap();
        request.headers_mut().insert("x-amz-content-sha256", hash);
        request
    }

    /// Returns a presigned GET.
    pub fn presigned(&self, path: &str, expires: &str, more: &str) -> Request<Full<Bytes>> {
        let scope = self.scope().replace('/', "%2F");
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ID}%2F{scope}&X-Amz-Date={}&\
             X-Amz-Expires={expires}{more}&X-Amz-SignedHeaders=host",
            self.date
        );
        let empty = sha256(b"");
        let canonical = format!("GET\n{path}\n{query}\nhost:gw.example\n\nhost\n{empty}");
        let signature = self.sign(&canonical);
        Request::builder()
            .uri(format!("{path}?{query}&X-Amz-Signature={signature}"))
            .header("host", "gw.example")
            .body(Full::default())
            .unwrap()
    }
}

pub fn credential() -> SigningCredential {
    let credential = SigningCredential::new(ID, Secret::new(SECRET)).unwrap();
    credential.tenant("acme").scopes(["infer"])
}

/// Settings whose clock stands at [`NOW`].
pub fn sigv4() -> SigV4 {
    sigv4_with(credential())
}

pub fn sigv4_with(credential: SigningCredential) -> SigV4 {
    let credentials = SigningCredentials::new([credential]);
    SigV4::new("us-east-1", credentials).unwrap().clock(clock_at(NOW).shared())
}

/// The response, and what the inner service received.
#[derive(Debug)]
pub struct Outcome {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub rejection: Option<Rejection>,
    pub seen: Option<Seen>,
    pub calls: usize,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub identity: Arc<Identity>,
    pub body: Bytes,
    pub uri: String,
    pub headers: HeaderMap,
}

impl Outcome {
    pub fn refusal(&self) -> Option<Refusal> {
        self.rejection.as_ref().map(Rejection::refusal)
    }

    pub fn detail(&self) -> &str {
        self.rejection.as_ref().map_or("", Rejection::detail)
    }
}

/// Sends a request through `SignedBodyLayer`, `AuthLayer` and `PayloadLayer`.
pub async fn send<B>(layer: &AuthLayer, request: Request<B>) -> Outcome
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    send_through(SignedBodyLayer::new(), layer, request).await
}

pub async fn send_through<B>(
    signed_body: SignedBodyLayer,
    layer: &AuthLayer,
    request: Request<B>,
) -> Outcome
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        service_fn(move |request: Request<Payload>| {
            calls.fetch_add(1, SeqCst);
            let context = RequestContext::of(request.extensions()).cloned().unwrap();
            let identity = context.identity().expect("an identity");
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let seen =
                    Seen { identity, body, uri: parts.uri.to_string(), headers: parts.headers };
                let mut response = Response::new(Full::new(Bytes::from("passed")));
                response.extensions_mut().insert(seen);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let service = signed_body.layer(layer.layer(PayloadLayer::bytes().layer(inner)));
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(text.to_vec()).unwrap(),
        rejection: parts.extensions.get::<Rejection>().cloned(),
        seen: parts.extensions.get::<Seen>().cloned(),
        calls: calls.load(SeqCst),
    }
}
