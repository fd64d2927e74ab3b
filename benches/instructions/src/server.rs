//! The servers that are measured beside the example. Each has one thread.

use std::{convert::Infallible, fs, io};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, runtime};
use tower::{Layer, Service};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::{AuthLayer, Jwt, Keys},
    cache::{CacheLayer, Scope},
    hf::{HfTokenLayer, TokenSource},
    limits::{Limit, Rate},
    model::Profile,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    secret::Secret,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use crate::{Error, bare::bare_proxy, messages, token};

/// Serves the program `name` and prints its address. Does not return.
pub(crate) fn serve(name: &str, arguments: &[&str]) -> Result<(), Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        match (name, arguments) {
            ("bare", [upstream]) => bare_proxy(listener, upstream.parse()?).await,
            ("layer", [layer, jwks]) => layered(listener, layer, jwks).await,
            _ => Err(format!("there is no program {name} {arguments:?}").into()),
        }
    })
}

async fn layered(listener: TcpListener, name: &str, jwks: &str) -> Result<(), Error> {
    let auth = || -> Result<AuthLayer, Error> {
        let keys = Keys::from_jwks(&fs::read(jwks)?)?;
        Ok(AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE)))
    };
    let budget = Limit::global(Rate::per_day(100_000_000));
    match name {
        "none" => run(listener, tower::layer::util::Identity::new()).await,
        "request id" => run(listener, RequestIdLayer::new()).await,
        "access log" => run(listener, AccessLogLayer::json(Sink::new(io::sink())?)).await,
        "auth" => run(listener, auth()?).await,
        "auth, throttle" => {
            let limit = Limit::per_identity(Rate::per_second(1_000_000));
            run(listener, (auth()?, ThrottleLayer::new(limit))).await
        }
        "payload" => run(listener, PayloadLayer::new()).await,
        "payload, schema" => {
            let schema = BuiltInSchemas::new(Profile::compatible()).chat_completion();
            run(listener, (PayloadLayer::new(), SchemaLayer::new(schema))).await
        }
        "payload, transform" => {
            let transform = TransformLayer::new().max_output_tokens(4_096).include_usage();
            run(listener, (PayloadLayer::new(), transform)).await
        }
        "payload, token budget" => {
            run(listener, (PayloadLayer::new(), TokenBudgetLayer::new(budget))).await
        }
        "auth, payload" => run(listener, (auth()?, PayloadLayer::new())).await,
        "auth, payload, cache (hit)" => {
            let cache = CacheLayer::new("bench", Scope::Identity);
            run(listener, (auth()?, PayloadLayer::new(), cache)).await
        }
        "upstream" => run(listener, UpstreamLayer::new()).await,
        "hf token" => {
            let token = TokenSource::value(Secret::new("hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH"))?;
            run(listener, HfTokenLayer::new("https://router.huggingface.co".parse()?, token)).await
        }
        _ => Err(format!("there is no layer {name}").into()),
    }
}

/// Serves the completion from memory behind `layer`.
async fn run<L, B>(listener: TcpListener, layer: L) -> Result<(), Error>
where
    L: Layer<FromMemory>,
    L::Service: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    <L::Service as Service<Request<Incoming>>>::Future: Send,
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    let service = TowerToHyperService::new(layer.layer(FromMemory::new()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

/// Responds with the completion of the stub upstream.
#[derive(Clone)]
struct FromMemory {
    body: Bytes,
}

impl FromMemory {
    fn new() -> Self {
        Self { body: messages::completion_body().into() }
    }
}

impl<B> Service<Request<B>> for FromMemory {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        std::future::ready(Ok(response))
    }
}
