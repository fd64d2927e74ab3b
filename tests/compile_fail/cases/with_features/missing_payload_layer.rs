//~ 5x error[E0277]: a `PayloadLayer` is missing: this layer reads bodies, and `axum::body::Body` cannot be read
//~ 5x needs a `PayloadLayer` outside of the layer that reads bodies
use axum::Router;
use tower::{Layer, ServiceBuilder};
use tower_inference::{
    cache::{CacheLayer, Scope},
    client::HttpsClient,
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRules, ModelRulesLayer},
    schema::SchemaLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

fn main() {
    let client = || UpstreamLayer::new().layer(HttpsClient::builder().build().unwrap());
    let cache = CacheLayer::new("upstream", Scope::Shared);
    let cached = ServiceBuilder::new().layer(cache).service(client());
    let _: Router = Router::new().fallback_service(cached);

    let rules = ModelRulesLayer::new(Profile::compatible(), ModelRules::new());
    let _: Router = Router::new().fallback_service(rules.layer(client()));

    let _: Router = Router::new().fallback_service(SchemaLayer::any_body().layer(client()));

    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_second(1)));
    let _: Router = Router::new().fallback_service(budget.layer(client()));

    let _: Router = Router::new().fallback_service(TransformLayer::new().layer(client()));
}
