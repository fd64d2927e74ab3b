//! A stack with every layer, on the clock of tokio.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::AuthLayer,
    cache::{CacheLayer, Cacheable, Scope},
    clock::{Clock, SharedClock},
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource},
    limits::{Concurrency, Limit, MemoryStore},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::{Payload, PayloadLayer},
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    secret::Secret,
    stack::Stack,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The time of tokio, which a test pauses.
pub struct TokioClock(Instant);

impl TokioClock {
    pub fn shared() -> SharedClock {
        SharedClock::new(Self(Instant::now()))
    }
}

impl Clock for TokioClock {
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_424_887) + self.0.elapsed()
    }
}

fn stage(name: &str) -> Stage {
    let token = TokenSource::value(Secret::new(format!("hf_tokenOf{name}"))).unwrap();
    Stage::new(name, format!("https://{name}.example").parse().unwrap(), token)
}

fn target(name: &str) -> Target {
    Target::new(stage(name)).max_in_flight(4).max_queued(1)
}

/// Returns the whole gateway. Its issuer signs the tokens of the clients.
pub fn gateway<B, C, R>(
    log: AccessLogLayer,
    issuer: &TestIssuer,
    clock: &SharedClock,
    client: C,
) -> impl Service<
    Request<B>,
    Response = Response<impl Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    C: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
    C::Error: Into<BoxError> + Send,
    C::Future: Send,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Into<BoxError>,
{
    let store = || MemoryStore::new().clock(clock.clone());
    let flood = Limit::global(Concurrency::new(14)).name("flood");
    let share = Limit::per_identity(Concurrency::new(5)).name("share");
    let budget = Limit::per_identity(tower_inference::limits::Rate::per_minute(900));
    let models = ModelRule::new(["org/small", "org/large"]).any_provider();
    Stack::new()
        .request_id(RequestIdLayer::new().dangerous_trust_all_peers())
        .access_log(log.clock(clock.clone()))
        .peer_throttle(ThrottleLayer::new(flood).store(store()))
        .route(RouteLayer::new(&Profile::compatible()))
        .auth(AuthLayer::new(issuer.jwt()))
        .throttle(ThrottleLayer::new(share).store(store()))
        .payload(
            PayloadLayer::by_route().body_timeout(Duration::from_secs(2)).max_body_bytes(4_096),
        )
        .schema(SchemaLayer::built_in(&BuiltInSchemas::new(Profile::compatible())))
        .transform(TransformLayer::new().max_output_tokens(100))
        .model_rules(ModelRulesLayer::new(Profile::compatible(), ModelRules::new().allow(models)))
        .cache(
            CacheLayer::new("records", Scope::Identity)
                .cacheable(Cacheable::always())
                .clock(clock.clone()),
        )
        .token_budget(TokenBudgetLayer::new(budget).store(store()))
        .fallback(FallbackLayer::new([target("a"), target("b")]))
        .upstream(
            UpstreamLayer::new()
                .head_timeout(Duration::from_secs(1))
                .idle_timeout(Duration::from_secs(1))
                .max_in_flight(8)
                .max_queued(2),
        )
        .hf_token(HfTokenLayer::stage(stage("default")))
        .layer(client)
}
