//! The pass path of each layer: one request that is let through, to the end of its answer.
//!
//! What `tests/allocations.rs` counts and `benches/layers.rs` times.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_inference::{
    access_log::{AccessLogLayer, Content, Emf, Format, Pseudonyms, Sink},
    audit::{AuditFile, AuditKey, Durability},
    auth::{AuthLayer, Jwt, Keys},
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource},
    identity::Callers,
    limits::{Limit, Rate},
    model::{Profile, ProviderPolicy},
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    record::GenAiConventions,
    schema::{BuiltInSchemas, Parameter, Schema, SchemaLayer},
    secret::Secret,
    token_budget::TokenBudgetLayer,
    transform::{ModelAliases, TransformLayer},
};

use crate::token::{self, Signer};

/// A cache stores a completion only when it holds a result.
const COMPLETION: &str = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;

/// The service that each layer is added to: takes any body, and answers as a server does, with two
/// fields and room for more.
#[derive(Clone, Copy, Debug)]
pub struct Trivial;

impl<B> Service<Request<B>> for Trivial {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(COMPLETION.as_bytes())));
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("64"));
        *response.headers_mut() = headers;
        ready(Ok(response))
    }
}

/// A chat request of 320 bytes with six fields, room for more, and no extension yet.
pub fn request(token: &str) -> Request<Full<Bytes>> {
    let (start, end) = (
        r#"{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"user","content":""#,
        r#""}],"max_tokens":64,"temperature":0,"stream":false}"#,
    );
    let prompt = "x".repeat(320 - start.len() - end.len());
    request_of(token, &format!("{start}{prompt}{end}"))
}

/// The same request with another body.
pub fn request_of(token: &str, body: &str) -> Request<Full<Bytes>> {
    // Split off a read buffer, as a server's frames and paths are.
    let read = |text: &str| BytesMut::from(text).split().freeze();
    let uri = Uri::from_maybe_shared(read("/v1/chat/completions")).unwrap();
    let mut request = Request::post(uri).body(Full::new(read(body))).unwrap();
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::HOST, "gateway.example".parse().unwrap());
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::ACCEPT, "application/json".parse().unwrap());
    headers.insert(header::USER_AGENT, "OpenAI/Python 3.54.0".parse().unwrap());
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    *request.headers_mut() = headers;
    request
}

/// Runs one request to the end of its answer. Nothing on the pass path waits.
pub fn run<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> StatusCode
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        panic!("the pass path waited");
    };
    let status = response.status();
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(None) => break,
            _ => panic!("the body waited or failed"),
        }
    }
    status
}

/// Two targets, the first of which responds.
pub fn fallback() -> FallbackLayer {
    let target = |name: &str| {
        let token = TokenSource::value(Secret::new("hf_example")).unwrap();
        Target::new(Stage::new(name, format!("https://{name}.example").parse().unwrap(), token))
    };
    FallbackLayer::new([target("a"), target("b").model("org/other")])
}

pub fn jwt(signer: &Signer) -> Jwt {
    let keys = Keys::from_jwks(signer.jwks().as_bytes()).unwrap();
    Jwt::new(keys, token::ISSUER, token::AUDIENCE)
}

pub fn auth(signer: &Signer) -> AuthLayer {
    AuthLayer::new(jwt(signer))
}

pub fn hf_token() -> HfTokenLayer {
    let token = TokenSource::value(Secret::new("hf_pass_path")).unwrap();
    HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token)
}

/// Ten rules for the router, the last of which lets [`request`] pass, for everyone.
pub fn model_rules() -> ModelRulesLayer {
    let others = (0..9).map(|number| {
        let names = [format!("org-{number}/*"), format!("meta-llama/Llama-{number}")];
        ModelRule::new(names)
            .providers(["together", "hf-inference"])
            .callers(Callers::new().scope(token::SCOPE))
    });
    let last = ModelRule::new(["meta-llama/*"]).policies([ProviderPolicy::Fastest]);
    let rules = others.chain([last]).fold(ModelRules::new(), ModelRules::allow);
    ModelRulesLayer::new(Profile::router(), rules)
}

/// What a chat request must be.
pub fn chat() -> Schema {
    BuiltInSchemas::new(Profile::openai()).chat_completion()
}

/// Checks the body, and one field.
pub fn schema() -> SchemaLayer {
    let agent = Parameter::header(header::USER_AGENT).required().pattern("[ -~]+").unwrap();
    SchemaLayer::new(chat()).parameter(agent)
}

/// A budget that is never used up, of what [`request`] says: nothing is to be edited.
pub fn budget() -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::global(Rate::per_day(100_000_000)))
}

/// Holds what [`request`] says within limits that it keeps: nothing is to be edited.
pub fn limits() -> TransformLayer {
    TransformLayer::new().max_output_tokens(4_096).include_usage()
}

/// Edits a field, and two members of the body.
pub fn edits() -> TransformLayer {
    let aliases = ModelAliases::new([("meta-llama/Llama-3.1-8B-Instruct", "org/small")]);
    TransformLayer::new()
        .set_header("x-team".parse().unwrap(), "search")
        .model_aliases(aliases)
        .max_output_tokens(32)
}

/// Counts a request with a recorder whose handles only add.
#[derive(Clone, Copy, Debug)]
pub struct Adding;

impl metrics::Recorder for Adding {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }
    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_histogram(
        &self,
        _: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        metrics::Histogram::from_arc(Arc::new(Last(AtomicU64::new(0))))
    }
}

/// Keeps the last value.
struct Last(AtomicU64);

impl metrics::HistogramFn for Last {
    fn record(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// An audit trail with room for all records of a measurement. Its file is removed at once.
pub fn audit() -> AccessLogLayer {
    let folder = std::env::temp_dir().join(format!("audit-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = AuditKey::from_bytes(&[7; 32]).unwrap();
    let file = AuditFile::new(folder.join("audit.jsonl"), key);
    let file = file.durability(Durability::Interval(std::time::Duration::from_secs(1)));
    let log = file.max_records(1_000_000).max_bytes(1 << 30).open().unwrap();
    // The writer keeps it open.
    let _elsewhere = std::fs::remove_dir_all(folder);
    AccessLogLayer::sink(log)
}

/// JSON lines that go nowhere.
pub fn access_log() -> AccessLogLayer {
    AccessLogLayer::json(Sink::new(std::io::sink()).unwrap())
}

/// Lines of a format that go nowhere.
pub fn access_log_of(format: Format) -> AccessLogLayer {
    AccessLogLayer::lines(Sink::new(std::io::sink()).unwrap(), format)
}

/// Each rendering of a record.
pub fn log_formats() -> [(&'static str, Format); 8] {
    let pseudonyms = Pseudonyms::new(&Secret::new("a key of the benches")).unwrap();
    let content = Content::truncated(1_024);
    [
        ("access log, json", Format::json()),
        ("access log, api gateway", Format::api_gateway()),
        ("access log, opentelemetry", Format::open_telemetry(GenAiConventions::Latest)),
        ("access log, common", Format::common()),
        ("access log, combined", Format::combined()),
        ("access log, emf", Format::emf(Emf::new("bench").unwrap())),
        ("access log, pseudonyms", Format::json().pseudonyms(pseudonyms)),
        ("access log, content", Format::json().prompts(content.clone()).completions(content)),
    ]
}
