//! A layer of your own between the payload and the cache: a block-list for prompts.
//!
//! `cargo run --example own_layer` prints a command to paste. The layer takes a `Request<Payload>`, so
//! the body is read and parsed already. It rejects in the format of the other layers, so clients and
//! the access log see one kind of rejection.

use std::{
    env,
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::Router;
use http::{Request, Response};
use tokio::net::TcpListener;
use tower::{Layer, Service, layer::layer_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    body::ResponseBody,
    cache::{CacheLayer, Scope},
    context::RequestContext,
    payload::{DocumentError, Kind, Node, Payload, PayloadLayer},
    rejection::{Refusal, Rejection, RejectionFormat},
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

/// Middleware that rejects prompts with a blocked word.
#[derive(Clone)]
struct Blocked<S> {
    inner: S,
    words: Arc<[&'static str]>,
}

impl<S, B> Service<Request<Payload>> for Blocked<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let rejection = match request.body().document() {
            Ok(document) if is_blocked(document.root(), &self.words) => {
                Rejection::new(Refusal::InvalidPayload)
                    .with_detail("the prompt has a word that is not allowed here; remove it")
            }
            // A request without a body, such as a GET.
            Ok(_) | Err(DocumentError::Empty) => {
                let response = self.inner.call(request);
                return Box::pin(async { Ok(response.await?.map(ResponseBody::inner)) });
            }
            // A body that cannot be read cannot be checked.
            Err(unreadable) => unreadable.rejection(),
        };
        let context = RequestContext::of(request.extensions()).cloned().unwrap_or_default();
        let responder = RejectionFormat::Problem.for_request(&request);
        Box::pin(async move { Ok(responder.respond(rejection, &context)) })
    }
}

/// Looks at all strings of the document: a prompt has many forms. The payload layer has parsed it and
/// bounds its depth.
fn is_blocked(value: Node<'_>, words: &[&str]) -> bool {
    match value.kind() {
        Kind::String => value.as_str().is_some_and(|text| {
            let text = text.to_lowercase();
            words.iter().any(|word| text.contains(word))
        }),
        Kind::Array => value.elements().any(|element| is_blocked(element, words)),
        Kind::Object => value.members().any(|(_name, member)| is_blocked(member, words)),
        _ => false,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Arc<[_]> = Arc::new(["secret project"]);
    let blocked = layer_fn(move |inner| Blocked { inner, words: Arc::clone(&words) });

    // The cache is inside of your layer: each hit passes it too.
    let client = TestUpstream::new(TestResponse::chat("Hello from the script"));
    let log = Sink::new(io::stderr())?;
    let gateway = Stack::new()
        .access_log(AccessLogLayer::json(log.clone()))
        .payload(PayloadLayer::new().max_body_bytes(1 << 20))
        .before_cache(blocked)
        .cache(CacheLayer::new("upstream", Scope::by(|_| Some("all".to_owned()))))
        .upstream(UpstreamLayer::new())
        .layer(client);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    let chat = r#"{"messages": [{"role": "user", "content": "Tell me of the secret project"}]}"#;
    println!("curl -i {url}/v1/chat/completions --json '{chat}'");
    axum::serve(listener, Router::new().fallback_service(gateway)).await?;
    Ok(())
}
