//! The sizes of a stack's types. Each is moved several times per request.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer,
    cache::{CacheLayer, Scope},
    client::HttpsClient,
    hf::{HfTokenLayer, TokenSource},
    limits::{Limit, Rate},
    model::Profile,
    payload::{Payload, PayloadLayer},
    record::Record,
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    secret::Secret,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

/// The bytes of a service, its future and the body of its response.
fn sizes<S, B, R>(name: &str, _: &S) -> [usize; 3]
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    let sizes = [size_of::<S>(), size_of::<S::Future>(), size_of::<R>()];
    println!("{name:<14} service {:>6}, future {:>6}, body {:>6}", sizes[0], sizes[1], sizes[2]);
    sizes
}

/// The whole stack around the real client. A type that grows beyond a ceiling has a rare state that
/// belongs into a box.
#[test]
fn futures_and_bodies_are_small() {
    type Request = Full<Bytes>;

    let client = HttpsClient::<Payload>::builder().build().unwrap();
    sizes::<_, Payload, _>("client", &client);
    let origin = "https://router.huggingface.co".parse().unwrap();
    let token = TokenSource::value(Secret::new("hf_sizes")).unwrap();
    let hf = HfTokenLayer::new(origin, token).layer(client);
    sizes::<_, Payload, _>("hf token", &hf);
    let upstream = UpstreamLayer::new().layer(hf);
    sizes::<_, Payload, _>("upstream", &upstream);
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(1)));
    let budget = budget.layer(upstream);
    sizes::<_, Payload, _>("token budget", &budget);
    let cache = CacheLayer::new("sizes", Scope::Identity).layer(budget);
    sizes::<_, Payload, _>("cache", &cache);
    let transform = TransformLayer::new().layer(cache);
    sizes::<_, Payload, _>("transform", &transform);
    let schemas = BuiltInSchemas::new(Profile::openai());
    let schema = SchemaLayer::built_in(&schemas).layer(transform);
    sizes::<_, Payload, _>("schema", &schema);
    let payload = PayloadLayer::new().layer(schema);
    sizes::<_, Request, _>("payload", &payload);
    let throttle = ThrottleLayer::new(Limit::per_identity(Rate::per_second(1)));
    let throttle = throttle.layer(payload);
    sizes::<_, Request, _>("throttle", &throttle);
    let route = RouteLayer::new(&Profile::openai()).layer(throttle);
    sizes::<_, Request, _>("route", &route);
    let log = AccessLogLayer::sink(|_: &Record<'_>| {}).layer(route);
    sizes::<_, Request, _>("access log", &log);
    let id = RequestIdLayer::new().layer(log);
    let [_, future, body] = sizes::<_, Request, _>("request id", &id);
    assert!(future <= 840 && body <= 376, "{future} and {body} bytes");
}
