use std::{
    error::Error,
    fmt,
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    body::{TestBody, TestFault},
    response::{Played, TestResponse},
};
use crate::lock::Lock;

/// A service in place of the HTTP client that returns scripted responses in turn.
///
/// Clones share the script and the record of their requests. The last response repeats.
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_inference::{
///     payload::Payload,
///     test_util::{TestResponse, TestUpstream},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = TestUpstream::new(TestResponse::error(StatusCode::SERVICE_UNAVAILABLE))
///     .then(TestResponse::chat("Hello"));
/// let send = || upstream.clone().oneshot(Request::new(Payload::buffered("{}")));
/// assert_eq!(send().await?.status(), 503);
/// assert_eq!(send().await?.status(), 200);
/// assert_eq!(send().await?.status(), 200);
/// assert_eq!(upstream.calls(), 3);
/// assert_eq!(upstream.requests()[0].body(), "{}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TestUpstream {
    responses: Arc<[TestResponse]>,
    requests: Arc<Lock<Vec<TestRequest>>>,
}

/// A request that a [`TestUpstream`] has received.
#[derive(Clone)]
pub struct TestRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl TestUpstream {
    /// Creates an upstream that returns `response` to each request.
    #[must_use]
    pub fn new(response: TestResponse) -> Self {
        Self { responses: Arc::new([response]), requests: Arc::default() }
    }

    /// Adds the next response. The responses before it are then returned once each.
    #[must_use]
    pub fn then(mut self, response: TestResponse) -> Self {
        self.responses = self.responses.iter().cloned().chain([response]).collect();
        self
    }

    /// Returns how many requests have arrived whole.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.requests.lock().len()
    }

    /// Returns the requests in the order in which they arrived.
    #[must_use]
    pub fn requests(&self) -> Vec<TestRequest> {
        self.requests.lock().clone()
    }

    /// Records a request and returns its response.
    fn respond(&self, request: TestRequest) -> Played {
        let mut requests = self.requests.lock();
        let response = self.responses.get(requests.len()).or_else(|| self.responses.last());
        requests.push(request);
        response.map_or(Played::Silent, TestResponse::play)
    }
}

impl<B> Service<Request<B>> for TestUpstream
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<TestBody>;
    type Error = TestFault;
    type Future = Pin<Box<dyn Future<Output = Result<Response<TestBody>, TestFault>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TestFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let upstream = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = read(body).await.ok_or(TestFault::Body)?;
            let http::request::Parts { method, uri, headers, .. } = head;
            match upstream.respond(TestRequest { method, uri, headers, body }) {
                Played::Response(response) => Ok(response),
                Played::Unreachable => Err(TestFault::Unreachable),
                Played::Silent => pending().await,
            }
        })
    }
}

/// Reads the whole body. Returns `None` when it fails.
async fn read<B: Body>(body: B) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.ok()?.into_data() else { continue };
        while data.has_remaining() {
            let length = data.chunk().len();
            bytes.extend_from_slice(data.chunk());
            data.advance(length);
        }
    }
    Some(bytes.freeze())
}

impl TestRequest {
    /// Returns the method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the target.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the whole body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for TestUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestUpstream").field("responses", &self.responses).finish_non_exhaustive()
    }
}

impl fmt::Debug for TestRequest {
    // Without headers and body, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}
