//! Any signed request, beside a signer of its own and a reader of its meaning.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::OnceLock,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tower_inference::{
    auth::{
        Auth, AuthLayer,
        aws_iam::{
            HoldSignedBody, SigV4, SignedBody, SignedBodyLayer, SigningCredential,
            SigningCredentials,
        },
    },
    clock::{Clock, SharedClock},
    secret::Secret,
};
use tower_layer::Layer;
use tower_service::Service;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20270115T080000Z";
const SCOPE: [&str; 4] = ["20270115", "us-east-1", "execute-api", "aws4_request"];

/// Stands at [`DATE`].
struct Stopped;

impl Clock for Stopped {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct Inner;

impl Service<Request<SignedBody<NoBody>>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<SignedBody<NoBody>>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

fn service() -> HoldSignedBody<Auth<Inner>> {
    static LAYER: OnceLock<AuthLayer> = OnceLock::new();
    let layer = LAYER.get_or_init(|| {
        let credential = SigningCredential::new("AKIDEXAMPLE", Secret::new(SECRET)).unwrap();
        let settings = SigV4::new("us-east-1", SigningCredentials::new([credential])).unwrap();
        AuthLayer::new(settings.clock(SharedClock::new(Stopped)))
    });
    SignedBodyLayer::new().layer(layer.layer(Inner))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

/// The words of a header's value with one space between them.
fn words(value: &HeaderValue) -> Vec<u8> {
    let words = value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

/// Signs as botocore does: the path of the wire encoded once more, the query of the wire sorted.
fn authorization(uri: &Uri, value: &HeaderValue) -> String {
    let path = uri.path().bytes().map(|byte| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    let mut pairs: Vec<_> = match uri.query() {
        None | Some("") => Vec::new(),
        Some(query) => {
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
        }
    };
    pairs.sort_unstable();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut canonical =
        format!("GET\n{}\n{}\nhost:a\nx-a:", path.collect::<String>(), query.join("&"))
            .into_bytes();
    canonical.extend(words(value));
    let rest = format!("\nx-amz-date:{DATE}\n\nhost;x-a;x-amz-date\n{}", sha256(b""));
    canonical.extend(rest.bytes());
    let text = format!("AWS4-HMAC-SHA256\n{DATE}\n{}\n{}", SCOPE.join("/"), sha256(&canonical));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in SCOPE {
        key = hmac(&key, part);
    }
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}, SignedHeaders=host;x-a;x-amz-date, Signature={}",
        SCOPE.join("/"),
        hex(&hmac(&key, &text))
    )
}

fn is_accepted(uri: &Uri, value: &HeaderValue, authorization: &HeaderValue) -> bool {
    let mut request = Request::new(NoBody);
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    headers.insert("host", HeaderValue::from_static("a"));
    headers.insert("x-amz-date", HeaderValue::from_static(DATE));
    headers.insert("x-a", value.clone());
    headers.insert("authorization", authorization.clone());
    let response = pin!(service().call(request));
    let response = response.poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = response else { panic!("fixed credentials need no wait") };
    response.status() == StatusCode::OK
}

/// The path, the decoded parameters and the words of the header.
fn meaning(uri: &Uri, value: &HeaderValue) -> (String, Vec<Vec<u8>>, Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let decode = |text: &str| {
        let mut decoded = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            match after {
                [high, low, after @ ..] if *first == b'%' => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => {
                        decoded.push((high * 16 + low) as u8);
                        rest = after;
                    }
                    _ => decoded.push(b'%'),
                },
                _ => decoded.push(*first),
            }
        }
        decoded
    };
    let query = uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|_| !query.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs: Vec<_> =
        pairs.map(|(name, value)| [decode(name), decode(value)].join(&0xff)).collect();
    pairs.sort_unstable();
    (uri.path().to_owned(), pairs, words(value))
}

/// The parts of `data` between bytes 0xff: the target and the header that are signed, those that are
/// sent with the same signature, and an `authorization`.
pub fn check(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let (signed, value) = (part(), part());
    let (sent, sent_value) = (part(), part());
    let target = |bytes: &[u8]| {
        let uri = Uri::try_from(bytes).ok()?;
        let query = uri.query().unwrap_or_default().to_ascii_lowercase();
        // Other parameters make it a presigned request.
        let is_plain = uri.authority().is_none()
            && uri.path().starts_with('/')
            && query.split('&').count() <= 256
            && !meaning(&uri, &HeaderValue::from_static(""))
                .1
                .iter()
                .any(|pair| pair.to_ascii_lowercase().starts_with(b"x-amz-"));
        is_plain.then_some(uri)
    };
    let (Some(uri), Ok(value)) = (target(signed), HeaderValue::from_bytes(value)) else { return };
    let signature = HeaderValue::try_from(authorization(&uri, &value)).unwrap();
    assert!(is_accepted(&uri, &value, &signature), "{uri}");
    if let (Some(sent), Ok(sent_value)) = (target(sent), HeaderValue::from_bytes(sent_value))
        && is_accepted(&sent, &sent_value, &signature)
    {
        assert_eq!(meaning(&sent, &sent_value), meaning(&uri, &value), "{sent} {uri}");
    }
    let mut forged = b"AWS4-HMAC-SHA256 ".to_vec();
    forged.extend_from_slice(part());
    if let Ok(forged) = HeaderValue::from_bytes(&forged) {
        assert!(forged == signature || !is_accepted(&uri, &value, &forged));
    }
}
