//! Any STS token, and what may be sent to AWS because of it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::OnceLock,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tower_inference::{
    auth::{AuthLayer, aws_iam::StsIdentity},
    clock::{Clock, SharedClock},
};
use tower_layer::Layer;
use tower_service::Service;

pub const URL: &str = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&\
    Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
    X-Amz-Credential=ASIAEXAMPLE%2F20270115%2Fus-east-1%2Fsts%2Faws4_request&\
    X-Amz-Date=20270115T080000Z&X-Amz-Expires=60&X-Amz-Security-Token=a%2Fb%2Bc%3D&\
    X-Amz-SignedHeaders=host%3Bx-inference-server-id&\
    X-Amz-Signature=00000000000000000000000000000000000000000000000000000000000000ff";

/// Stands at the date of [`URL`].
struct Stopped;

impl Clock for Stopped {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

/// Panics at a request that is no plain `GetCallerIdentity` of AWS.
#[derive(Clone)]
struct Sts;

impl Service<Request<()>> for Sts {
    type Response = Response<NoBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let uri = request.uri();
        assert_eq!((request.method().as_str(), uri.scheme_str()), ("GET", Some("https")));
        let authority = uri.authority().unwrap().as_str();
        let region = authority.strip_suffix(".amazonaws.com").unwrap();
        let region = region.strip_prefix("sts").unwrap();
        let region = region.strip_prefix("-fips").unwrap_or(region);
        assert!(region.is_empty() || region.starts_with('.'), "{authority}");
        assert!(
            region.bytes().all(|byte| byte.is_ascii_lowercase() || b"-.0123456789".contains(&byte))
        );
        assert_eq!(region.matches('.').count(), region.len().min(1), "{authority}");
        assert_eq!(uri.path(), "/");
        let pairs = uri.query().unwrap().split('&').map(|pair| pair.split_once('=').unwrap());
        let pairs: Vec<_> = pairs.collect();
        let all = URL.split_once('?').unwrap().1.split('&');
        let mut names: Vec<_> = all.map(|pair| pair.split_once('=').unwrap().0).collect();
        names.retain(|name| pairs.iter().any(|(own, _)| own == name));
        assert_eq!(pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        assert_eq!(pairs[..2], [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
        assert!(pairs.contains(&("X-Amz-SignedHeaders", "host%3Bx-inference-server-id")));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(pairs.iter().all(|(_, value)| value.bytes().all(is_plain)));
        let mut headers: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        headers.sort_unstable();
        assert_eq!(headers, ["accept", "x-inference-server-id"]);
        let mut response = Response::new(NoBody);
        *response.status_mut() = StatusCode::FORBIDDEN;
        ready(Ok(response))
    }
}

struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("STS has refused every token")
    }
}

fn layer() -> AuthLayer {
    let settings = StsIdentity::new("gw.example", ["123456789012"], Sts).unwrap();
    let settings = settings.max_calls_per_address(u32::MAX).max_cache_bytes(1 << 20);
    AuthLayer::new(settings.clock(SharedClock::new(Stopped)))
}

/// Replaces a part of [`URL`], if the first byte is even. Else the rest of `data` is the token.
pub fn check(data: &[u8]) {
    static LAYER: OnceLock<AuthLayer> = OnceLock::new();
    let token = match data {
        [] => return,
        [first, high, low, length, with @ ..] if first % 2 == 0 => {
            let start = usize::from(*high) << 8 | usize::from(*low);
            let start = start % URL.len();
            let end = (start + usize::from(*length)).min(URL.len());
            let url = [&URL.as_bytes()[..start], with, &URL.as_bytes()[end..]].concat();
            format!("aws-sts-v1.{}", URL_SAFE_NO_PAD.encode(url)).into_bytes()
        }
        [_, token @ ..] => [b"aws-sts-v1.", token].concat(),
    };
    let token = [b"Bearer ", &*token].concat();
    let Ok(request) = Request::builder().header("authorization", token).body(()) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let response = LAYER.get_or_init(layer).layer(Inner).call(request);
    let response = runtime.block_on(response).unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
