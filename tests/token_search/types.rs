//! Every public type is printed here or cannot have the token.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt, fs,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, RequestBody, Sink},
    auth::{AuthLayer, aws_iam::SignedBodyLayer},
    body::{BodyEnd, Watch, WatchedBody},
    cache::{CacheLayer, Cacheable, Scope},
    client::{self, HttpsClient},
    context::RequestContext,
    fallback::{FallbackLayer, RetryBudget, Target},
    hf::{
        FetchedToken, HfTokenLayer, Origin, Stage, SubjectToken, TokenExchange, TokenSource, Tokens,
    },
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::{Payload, PayloadLayer},
    record::Record,
    rejection::Rejection,
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    secret::{Scrubber, Secret},
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    test_util::{TestIssuer, TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use crate::{
    TOKENS,
    debug::{Printed, forms},
    gateway::CHAT,
    leak::spellings,
    upstream::{self, Script, Upstream},
};

/// A client whose response repeats the token of the request in its headers.
#[derive(Clone, Debug)]
struct Echo;

/// The token is in it, and it is no type of the crate.
struct EchoFuture(Option<Response<Full<Bytes>>>);

impl fmt::Debug for EchoFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EchoFuture")
    }
}

impl Future for EchoFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.take().unwrap()))
    }
}

impl<B> Service<Request<B>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = EchoFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> EchoFuture {
        let token = request.headers().get("authorization").cloned();
        let token = token.unwrap_or_else(|| HeaderValue::from_static("Bearer none"));
        let token = token.to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        let mut response = Response::new(Full::from("{}"));
        for (nth, spelling) in spellings(&token).into_iter().enumerate() {
            let name = HeaderName::try_from(format!("x-echo-{nth}")).unwrap();
            response.headers_mut().insert(name, spelling.try_into().unwrap());
        }
        EchoFuture(Some(response))
    }
}

fn chat() -> Request<Payload> {
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    request.body(Payload::buffered(CHAT)).unwrap()
}

/// Prints a layer, its service, its future and its body.
async fn print_layer<L, S, B>(printed: &mut Printed, layer: L, inner: S)
where
    L: Layer<S> + fmt::Debug,
    L::Service: Service<Request<Payload>, Response = Response<B>> + fmt::Debug,
    <L::Service as Service<Request<Payload>>>::Future: fmt::Debug,
    <L::Service as Service<Request<Payload>>>::Error: fmt::Debug,
    B: fmt::Debug,
{
    printed.add(&layer);
    let mut service = layer.layer(inner);
    printed.add(&service);
    let future = service.call(chat());
    printed.add(&future);
    let response = future.await.unwrap();
    printed.add(response.body());
    let text = format!("{:?}", response.headers());
    assert!(!text.contains("x-echo-0"), "{text}");
}

fn limit() -> Limit {
    Limit::per_identity(Rate::per_second(1_000).burst(1_000_000))
}

fn hf_token(token: &str) -> HfTokenLayer {
    let origin: Origin = "https://upstream.example".parse().unwrap();
    HfTokenLayer::new(origin, TokenSource::value(Secret::new(token)).unwrap())
}

/// Prints every type that owns the token, wraps its owner or reads what the upstream sends.
async fn print_all(token: &'static str) -> BTreeSet<String> {
    let mut printed = Printed::new(token);
    let p = &mut printed;
    let layer = hf_token(token);
    let inner = || layer.layer(Echo);
    let profile = Profile::openai();
    print_layer(p, layer.clone(), Echo).await;
    let scrubber = layer.scrubber();
    print_layer(p, AccessLogLayer::new().scrubber(scrubber.clone()), inner()).await;
    let issuer = TestIssuer::new();
    print_layer(p, AuthLayer::new(issuer.jwt()).anonymous("anyone"), inner()).await;
    print_layer(p, SignedBodyLayer::new(), inner()).await;
    print_layer(p, CacheLayer::new("types", Scope::Shared), inner()).await;
    let rules = ModelRules::new().allow(ModelRule::new(["org/demo"]).any_provider());
    print_layer(p, ModelRulesLayer::new(profile.clone(), rules), inner()).await;
    print_layer(p, PayloadLayer::new(), inner()).await;
    print_layer(p, RequestIdLayer::new(), inner()).await;
    print_layer(p, RouteLayer::new(&profile), inner()).await;
    let schemas = BuiltInSchemas::new(profile.clone());
    print_layer(p, SchemaLayer::built_in(&schemas), inner()).await;
    print_layer(p, StalledReaderLayer::new(), inner()).await;
    print_layer(p, ThrottleLayer::new(limit()), inner()).await;
    print_layer(p, TokenBudgetLayer::new(limit()).profile(profile.clone()), inner()).await;
    print_layer(p, TransformLayer::new().profile(profile), inner()).await;
    print_layer(p, UpstreamLayer::new(), inner()).await;

    let stack = || Stack::new().request_id(RequestIdLayer::new()).hf_token(hf_token(token));
    print_layer(p, stack().upstream(UpstreamLayer::new()), Echo).await;
    print_layer(p, stack(), Echo).await;
    let mut gateway = stack().boxed(Echo);
    p.add(&gateway);
    p.add(&gateway.snapshot());
    let future = gateway.call(chat());
    p.add(&future);
    p.add(future.await.unwrap().body());
    p.add(&stack().boxed_for::<Payload, _>(Echo));

    let value = || TokenSource::value(Secret::new(token)).unwrap();
    let origin = || "https://upstream.example".parse::<Origin>().unwrap();
    p.add(&Secret::new(token));
    p.add(&Scrubber::new([Secret::new(token)]));
    p.add(&value());
    p.add(&FetchedToken::new(Secret::new(token)).expires_in(Duration::from_secs(60)));
    p.add(&origin());
    p.add(&Stage::new("prod", origin(), value()));
    let target = || {
        let target = Target::new(Stage::new("prod", origin(), value())).model("org/demo");
        target.group("one").max_in_flight(1)
    };
    p.add(&target());
    p.add(&RetryBudget::new());
    let fallback = FallbackLayer::new([target(), target()]).model("alias", [target()]);
    print_layer(p, fallback, inner()).await;
    p.add(&Tokens::from(value()));
    p.add(&Tokens::by_tenant().tenant("issuer", "tenant", value()).otherwise(value()));
    p.add(&Tokens::by_model().model("org/demo", value()).otherwise(value()));
    let subject =
        || SubjectToken::fetch(move || async move { Ok::<_, Infallible>(Secret::new(token)) });
    p.add(&subject());
    let client = HttpsClient::builder().build_for::<Full<Bytes>>().unwrap();
    let exchange = TokenExchange::new(client, subject(), "org");
    p.add(&exchange);
    p.add(&TokenSource::exchange(exchange.clone()));
    // A token in the place of something else.
    p.add(&exchange.endpoint(token).unwrap_err());
    for error in [
        TokenSource::value(Secret::new(format!("Bearer {token}"))).unwrap_err(),
        TokenSource::value(Secret::new(format!("{token}\n{token}"))).unwrap_err(),
        TokenSource::env(token).unwrap_err(),
    ] {
        p.add(&error);
        p.add(&error.fault);
    }
    p.add(&token.parse::<Origin>().unwrap_err());
    p.add(&format!("https://{token}@upstream.example/").parse::<Origin>().unwrap_err());

    print_after_a_request(p, &layer).await;
    print_client(p, token).await;

    // The stand-ins for tests see the token of the gateway under test.
    let upstream = TestUpstream::new(TestResponse::chat("Hello"));
    let mut tested = layer.layer(upstream.clone());
    let response = tested.call(chat()).await.unwrap();
    p.add(response.body());
    p.add(&upstream);
    assert!(format!("{:?}", upstream.requests()[0].headers()).contains("authorization"));
    p.add(&upstream.requests()[0]);
    printed.types
}

/// Prints what the crate knows of a request after its end.
async fn print_after_a_request(p: &mut Printed, hf_token: &HfTokenLayer) {
    let records = Arc::new(Mutex::new(String::new()));
    let of_sink = Arc::clone(&records);
    let sink = move |record: &Record<'_>| of_sink.lock().unwrap().push_str(&forms(record));
    let log = AccessLogLayer::sink(sink).scrubber(hf_token.scrubber());
    let bodies = Arc::new(Mutex::new(String::new()));
    let of_service = Arc::clone(&bodies);
    let inner = hf_token.layer(Echo);
    let inner = service_fn(move |request: Request<RequestBody<Payload>>| {
        of_service.lock().unwrap().push_str(&forms(request.body()));
        inner.clone().oneshot(request)
    });
    let mut request = chat();
    let context = RequestContext::ensure(request.extensions_mut());
    let response = log.layer(inner).oneshot(request).await.unwrap();
    let watched = WatchedBody::new(response.into_body(), Ignored);
    p.add(&watched);
    drop(watched);
    p.add_text::<Record<'_>>(&records.lock().unwrap());
    p.add_text::<RequestBody<Payload>>(&bodies.lock().unwrap());
    assert!(!records.lock().unwrap().is_empty());
    p.add(&context);
    p.add(&context.outcome());
    p.add(&Sink::new(std::io::sink()).unwrap());
}

/// Prints the client, and the errors of each layer that reads what the client brings.
async fn print_client(p: &mut Printed, token: &'static str) {
    let builder = HttpsClient::builder();
    p.add(&builder);
    let mut client: HttpsClient = builder.build().unwrap();
    p.add(&client);
    let mut request = chat();
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    p.add(&client.call(request));
    let upstream = Upstream::start().await;
    let origin: Origin = format!("http://{}", upstream.address).parse().unwrap();
    let hf_token = HfTokenLayer::new(origin, TokenSource::value(Secret::new(token)).unwrap());

    upstream.play(Script::Send(format!("HTTP/1.1 {token}\r\n\r\n").into_bytes()));
    let future = hf_token.layer(client.clone()).call(chat());
    p.add(&future);
    p.add(&future.await.unwrap_err());

    // A body that breaks off, read through the layers that wrap its error.
    let cut = format!("HTTP/1.1 200 OK\r\nx-echo: {token}\r\ncontent-length: 1000\r\n\r\n{{");
    upstream.play(Script::Send(cut.into_bytes()));
    let plain = hf_token.layer(client.clone()).oneshot(chat()).await.unwrap();
    p.add(plain.body());
    p.add(&read_error(plain.into_body()).await);
    let from_client = Arc::new(Mutex::new(Printed::new(token)));
    let of_service = Arc::clone(&from_client);
    let bare = client.clone();
    let inner = service_fn(move |request| {
        let (bare, printed) = (bare.clone(), Arc::clone(&of_service));
        async move {
            let response = bare.oneshot(request).await?;
            printed.lock().unwrap().add(response.body());
            Ok::<_, client::Error>(response)
        }
    });
    hf_token.layer(inner).oneshot(chat()).await.unwrap();
    p.types.extend(from_client.lock().unwrap().types.clone());
    let guarded = || UpstreamLayer::new().layer(hf_token.layer(client.clone()));
    let response = guarded().oneshot(chat()).await.unwrap();
    p.add(&read_error(response.into_body()).await);
    let response = StalledReaderLayer::new().layer(guarded()).oneshot(chat()).await.unwrap();
    p.add(&read_error(response.into_body()).await);
    let cache = CacheLayer::new("types", Scope::Shared).cacheable(Cacheable::always());
    let response = cache.layer(guarded()).oneshot(chat()).await.unwrap();
    p.add(&read_error(response.into_body()).await);

    // The gateway's own rejection of a response.
    upstream.play(Script::Send(upstream::response(token, 401, "", "{}")));
    let response = guarded().oneshot(chat()).await.unwrap();
    p.add(response.extensions().get::<Rejection>().unwrap());
}

/// Reads a body that ends in an error.
async fn read_error<B: Body>(body: B) -> B::Error {
    let Err(error) = body.collect().await.map(drop) else { panic!("the body is whole") };
    error
}

#[derive(Debug)]
struct Ignored;

impl Watch for Ignored {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {}
}

#[tokio::test]
async fn every_public_type_is_printed_without_the_token_or_cannot_have_it() {
    let mut printed = BTreeSet::new();
    for token in TOKENS {
        printed.extend(print_all(token).await);
    }
    let surface = surface();
    let mut listed = BTreeSet::new();
    for (reason, types) in WITHOUT_TOKEN {
        for name in types.split_whitespace() {
            assert!(listed.insert(name.to_owned()), "{name} is listed twice ({reason})");
            assert!(surface.contains(name), "{name} is no public type ({reason})");
            assert!(!printed.contains(name), "{name} is printed, so it needs no reason ({reason})");
        }
    }
    let missing: Vec<_> =
        surface.iter().filter(|name| !printed.contains(*name) && !listed.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "neither printed by `print_all` nor listed in `WITHOUT_TOKEN`: {missing:#?}"
    );
}

/// The structs and enums of the crate, as `module::Type`.
fn surface() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/public_surface.txt");
    let listing = fs::read_to_string(path).unwrap();
    let mut module = "";
    let mut types = BTreeSet::new();
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix("mod ") {
            module = name;
        }
        let kinds = [line.strip_prefix("  struct "), line.strip_prefix("  enum ")];
        if let Some(name) = kinds.into_iter().flatten().next() {
            let name = name.split(' ').next().unwrap();
            types.insert(format!("{module}::{name}"));
        }
    }
    assert!(types.len() > 200, "{}", types.len());
    types
}

/// Types that cannot have the token, by the reason.
const WITHOUT_TOKEN: &[(&str, &str)] = &[
    (
        "names of layers and of their decisions, which are those of the program",
        "context::Decision context::Decisions context::Layer",
    ),
    (
        "words about a line of the log, which was scrubbed when it was written",
        "explain::ExplainError explain::Explanation",
    ),
    (
        "settings and states of the callers' authentication, which never sees a request of the gateway to its upstream",
        "auth::AccessRule auth::AccessRules auth::Algorithm auth::ApiKey auth::ApiKeyDigest \
         auth::ApiKeyError auth::ApiKeyFile auth::ApiKeyForm auth::ApiKeyLookup auth::ApiKeyRecord \
         auth::ApiKeys auth::ApiKeysEntry auth::ApiKeysError auth::ApiKeysFault auth::AuthCounts \
         auth::AuthError auth::ClaimMapping auth::ClientCertificate auth::Credential \
         auth::CredentialFile auth::CredentialLookup auth::CustomAuth auth::Dpop auth::Explanation \
         auth::Introspection auth::IntrospectionError auth::Jwt auth::JwtError auth::KeySource auth::Keys \
         auth::KeysError auth::KeysFault auth::OpaqueTokens auth::Provider auth::RemoteKeys \
         auth::ResourceMetadata auth::ResourceMetadataService auth::SigV4 auth::SignedBody \
         auth::SigningCredential auth::SigningCredentialError auth::SigningCredentials auth::SigningKey \
         auth::SigningScope auth::StsError auth::StsIdentity identity::Callers identity::ClaimPath \
         identity::Identity identity::Principal identity::Proof",
    ),
    (
        "parts of the client's request, which is read before the token is set",
        "context::AmznTraceId context::RequestHead context::SpanId context::TraceContext context::TraceId extract::Caller extract::ExtractRejection \
         extract::RequestId payload::Document payload::DocumentBounds payload::DocumentError \
         payload::EditError payload::EditFault payload::Edits payload::Elements payload::JsonError \
         payload::JsonFault payload::Kind payload::Literal payload::Members payload::Node \
         payload::Payload payload::PayloadError payload::Pointer payload::PointerError \
         peer::ForwardedHeader peer::NetworkError peer::PeerAddress",
    ),
    (
        "the audit trail's settings, hashes and numbers; its records are those of the access log",
        "audit::AuditBreak audit::AuditError audit::AuditFault audit::AuditFile audit::AuditKey \
         audit::AuditLog audit::AuditPublicKey audit::AuditReport audit::BreakFault audit::Checkpoint \
         audit::Checkpoints audit::Durability audit::KnownCheckpoint record::PayloadDigest",
    ),
    (
        "settings of a layer outside of the token, which are made from its own arguments alone",
        "access_log::Content access_log::Emf access_log::EmfError access_log::Events \
         access_log::Format access_log::FormatError access_log::Lines access_log::PseudonymKeyError \
         access_log::Pseudonyms access_log::Sampling access_log::SamplingError \
         cache::CacheKey cache::Cacheable cache::ClientControl cache::Freshness cache::MemoryTier \
         cache::RedisCache cache::Scope cache::ScopeFunction cache::SecondTier cache::SharedCalls \
         cache::Unauthorized clock::FakeClock clock::SharedClock limits::Allowance limits::Concurrency \
         limits::Limit limits::LimitError limits::LimitHeaders limits::MemoryStore limits::OutagePolicy \
         limits::OverflowPolicy limits::Quota limits::Rate limits::RedisStore limits::Store \
         limits::Subject memory_limit::MemoryLimit metrics::Metrics model::BodyForm model::OutputLimit \
         model::Profile \
         model::Provider model::ProviderPolicy model::StreamUsage model::Target model::TargetError \
         model::TokenHeader model_rules::ModelRule model_rules::ModelRules redis_link::RedisError \
         rejection::RejectionFormat rejection::Responder schema::BuiltInError schema::BuiltInSchemas \
         schema::ChatLimits schema::Draft schema::Parameter schema::ResponseSchema schema::Schema \
         schema::SchemaBuilder schema::SchemaError schema::SchemaFault schema::Streaming \
         schema::UnknownKeyword stack::ImpliedPayload token_budget::Weight token_budget::Weights \
         transform::EditableHeader transform::EditableHeaderError transform::EditableQuery \
         transform::EditableQueryError transform::ModelAliases transform::PathError \
         transform::PathTemplate transform::SystemMessage transform::ValueSource",
    ),
    (
        "numbers and fixed words",
        "access_log::Dimension access_log::Unit body::BodyEnd cache::CacheCounts cache::LeaseResult context::AbandonReason \
         context::CacheOutcome context::StreamEnd context::Usage limits::BudgetTokens limits::LimitCounts limits::LimitState \
         limits::RedisCounts metrics::MetricInfo metrics::MetricKind metrics::MetricUnit \
         metrics::Names record::GenAiAttribute record::GenAiConventions record::Needs record::RequestOutcome \
         rejection::Refusal",
    ),
    ("values that the program adds", "context::AddedValue"),
    ("bodies, which are printed as their lengths", "record::Excerpt record::RecordedBody"),
    (
        "names of our own stages and models, ids of upstreams without the token, beside fixed words",
        "context::Attempt rejection::Violation stack::KeySetState stack::TargetState \
         stack::TokenState",
    ),
    (
        "the text of a body, which an upstream fills; the token is scrubbed from bodies on request",
        "sse::Decoder sse::Event sse::Frame sse::Framer sse::Frames tap::Tap",
    ),
    (
        "the script of a test, which never goes to an upstream",
        "test_util::TestBody test_util::TestFault test_util::TestIssuer test_util::TestResponse \
         test_util::TestToken",
    ),
    ("no layer but the two slots of `Stack` names it; it prints as its layer", "stack::Optional"),
    ("an error of its constructor, before any request", "client::BuildError"),
    ("feature `aws`; `tests/aws` prints them", "stages::AwsSecret stages::AwsWebIdentity"),
];
