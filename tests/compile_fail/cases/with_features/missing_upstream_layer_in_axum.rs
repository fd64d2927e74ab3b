//~ error[E0271]: type mismatch resolving `<WithoutUpstreamLayer<
use axum::Router;
use tower::Layer;
use tower_inference::{
    cache::{CacheLayer, Scope},
    client::HttpsClient,
    request_id::RequestIdLayer,
    schema::SchemaLayer,
    stack::Stack,
    stalled_reader::StalledReaderLayer,
};

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let stack = Stack::new()
        .stalled_reader(StalledReaderLayer::new())
        .request_id(RequestIdLayer::new())
        .access_log(None)
        .auth(None)
        .schema(SchemaLayer::any_body())
        .cache(CacheLayer::new("upstream", Scope::Shared))
        .hf_token(None);
    let _: Router = Router::new().fallback_service(stack.layer(client));
}
