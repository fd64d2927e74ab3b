//! Retries of a user's own layer are counted wherever a layer of ours sees them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, layer::layer_fn};
use tower_inference::{
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    limits::{Limit, Quota, Subject},
    payload::Payload,
    secret::Secret,
    test_util::{TestResponse, TestUpstream},
    token_budget::{TokenBudget, TokenBudgetLayer},
    upstream::UpstreamLayer,
};

/// A user's own retry, which knows nothing of this crate but the payload.
#[derive(Clone)]
struct Retry<S> {
    inner: S,
    times: usize,
}

fn retry<S>(times: usize) -> impl Layer<S, Service = Retry<S>> + Clone {
    layer_fn(move |inner| Retry { inner, times })
}

impl<S, B> Service<Request<Payload>> for Retry<S>
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let (service, times) = (self.inner.clone(), self.times);
        Box::pin(async move {
            for _ in 0..times {
                let response = service.clone().oneshot(copy(&request)).await?;
                if !response.status().is_server_error() {
                    return Ok(response);
                }
            }
            service.oneshot(request).await
        })
    }
}

fn copy(request: &Request<Payload>) -> Request<Payload> {
    let mut copy = Request::new(request.body().try_clone().unwrap());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

fn hf_token() -> HfTokenLayer {
    let token = TokenSource::value(Secret::new("hf_example")).unwrap();
    HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token)
}

fn failing() -> TestUpstream {
    TestUpstream::new(TestResponse::error(StatusCode::BAD_GATEWAY))
        .then(TestResponse::error(StatusCode::BAD_GATEWAY))
        .then(TestResponse::chat("Hello"))
}

fn chat() -> (Request<Payload>, RequestContext) {
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}"#;
    let mut request = request.body(Payload::buffered(body)).unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    (request, context)
}

/// The attempts that the record of a request through `layers` has.
macro_rules! attempts {
    ($($layer:expr),*) => {{
        let upstream = failing();
        let service = ServiceBuilder::new()$(.layer($layer))*.service(upstream.clone());
        let (request, context) = chat();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!((response.status(), upstream.calls()), (StatusCode::OK, 3));
        context.outcome().attempts
    }};
}

#[tokio::test]
async fn retry_outside_of_a_layer_that_calls_the_upstream_is_seen() {
    assert_eq!(attempts!(retry(2), UpstreamLayer::new(), hf_token()), 3);
    assert_eq!(attempts!(UpstreamLayer::new(), retry(2), hf_token()), 3);
    assert_eq!(attempts!(retry(2), UpstreamLayer::new()), 3);
    assert_eq!(attempts!(retry(2), hf_token()), 3);
    // One layer outside of the upstream layer and one inside.
    let service = ServiceBuilder::new().layer(retry(1)).layer(UpstreamLayer::new());
    let service = service.layer(retry(1)).layer(hf_token()).service(failing());
    let (request, context) = chat();
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(context.outcome().attempts, 3);
}

/// As the docs of `RequestContext::add_attempt` say.
#[tokio::test]
async fn retry_inside_of_both_is_not_seen() {
    assert_eq!(attempts!(UpstreamLayer::new(), hf_token(), retry(2)), 1);
}

/// Returns the tokens that a request was charged.
async fn charge<L, B>(budget: &TokenBudgetLayer, layers: L, upstream: TestUpstream) -> u64
where
    L: Layer<TestUpstream>,
    TokenBudget<L::Service>: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = bytes::Bytes>,
{
    let used = async || {
        let state = budget.limit_state("global", &Subject::global()).await.unwrap();
        1_000_000 - state.remaining
    };
    let before = used().await;
    let Ok(response) = budget.layer(layers.layer(upstream)).oneshot(chat().0).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_ok());
    used().await - before
}

#[tokio::test]
async fn budget_charges_each_attempt_that_it_was_not_told_of() {
    let budget = TokenBudgetLayer::new(Limit::global(Quota::per_day(1_000_000)));
    let plain = || TestUpstream::new(TestResponse::chat("Hello"));
    let once = charge(&budget, (UpstreamLayer::new(), hf_token()), plain()).await;
    let outer = (retry(2), UpstreamLayer::new(), hf_token());
    assert_eq!(charge(&budget, outer.clone(), plain()).await, once);
    let with_retries = charge(&budget, outer, failing()).await;
    assert!(with_retries > once, "{with_retries} {once}");
    let inner = (UpstreamLayer::new(), retry(2), hf_token());
    assert_eq!(charge(&budget, inner, failing()).await, with_retries);
}
