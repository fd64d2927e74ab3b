use axum::Router;
use tower::Layer;
use tower_inference::{
    auth::{AuthLayer, Jwt, RemoteKeys},
    client::HttpsClient,
    schema::SchemaLayer,
    stack::Stack,
    upstream::UpstreamLayer,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // No annotation, neither for keys alone nor for a stack.
    let keys =
        RemoteKeys::discovery("https://issuer.example", HttpsClient::builder().build()?).build()?;
    let stack = Stack::new()
        .auth(AuthLayer::new(Jwt::new(keys, "https://issuer.example", "gateway")))
        .schema(SchemaLayer::any_body())
        .upstream(UpstreamLayer::new());
    let gateway = stack.boxed(HttpsClient::builder().build()?);
    let _: Router = Router::new()
        .nest_service("/boxed", gateway)
        .fallback_service(stack.layer(HttpsClient::builder().build()?));
    Ok(())
}
