//! All routes of inference behind one stack, and one route with settings of its own.
//!
//! `cargo run --example routes` prints commands to paste. `RouteLayer` opens the known routes, names
//! them and says how each body is read. All others are rejected with 404.

use std::{env, error::Error, io, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use tower::Layer;
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::AuthLayer,
    cache::{CacheLayer, Scope},
    limits::{Limit, Rate},
    model::Profile,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    stack::Stack,
    test_util::{TestIssuer, TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = TestIssuer::new();
    let client = TestUpstream::new(TestResponse::chat("Hello from the script"));
    let profile = Profile::compatible();
    let log = Sink::new(io::stderr())?;

    // Clones of a layer share its state: one cache and one set of limits for both stacks.
    let cache = CacheLayer::new("upstream", Scope::Identity).cache_status();
    let per_caller = Limit::per_identity(Rate::per_second(1).burst(20));
    let per_route = Limit::per_route(Rate::per_second(100));
    let shared = Stack::new()
        .auth(AuthLayer::new(issuer.jwt()))
        .throttle(ThrottleLayer::new(per_caller).limit(per_route))
        .schema(SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone())))
        .cache(cache);

    // JSON, sounds and forms: the route decides how a body is read.
    let budget = TokenBudgetLayer::new(Limit::per_identity(Rate::per_minute(100_000)));
    let all = shared
        .clone()
        .payload(PayloadLayer::by_route())
        .transform(TransformLayer::new().max_output_tokens(4096).binary_bodies())
        .token_budget(budget.profile(profile.clone()).flat_cost(1_000))
        .upstream(UpstreamLayer::new().total_timeout(Duration::from_secs(600)))
        .layer(client.clone());
    // Embeddings are short and have no output to limit.
    let embeddings = shared
        .payload(PayloadLayer::new().max_body_bytes(1 << 20))
        .upstream(UpstreamLayer::new().total_timeout(Duration::from_secs(10)))
        .layer(client);

    // The id and the log are outside of the routes, so they also see what is closed.
    let around = Stack::new()
        .request_id(RequestIdLayer::new())
        .access_log(AccessLogLayer::json(log.clone()));
    let app = Router::new()
        .route_service("/v1/embeddings", RouteLayer::named("embeddings").layer(embeddings))
        .fallback_service(RouteLayer::new(&profile).layer(all))
        .layer(around);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}\nTOKEN={}", issuer.token("ann"));
    let curl = |path: &str, rest: &str| {
        println!(r#"curl -i {url}{path} -H "authorization: Bearer $TOKEN" {rest}"#);
    };
    curl("/v1/models", "");
    curl("/v1/chat/completions", r#"--json '{"messages": [{"role": "user", "content": "Hi"}]}'"#);
    curl("/v1/embeddings", r#"--json '{"input": "Hi"}'"#);
    curl("/v1/audio/transcriptions", "-F file=@speech.flac -F model=whisper");
    curl("/v1/fine_tuning/jobs", "--json '{}'");
    axum::serve(listener, app).await?;
    Ok(())
}
