//~ error[E0277]: this client sends bodies of type `Payload` and receives requests with a body of type `axum::body::Body`
//~ put `.payload(PayloadLayer::streamed())` on the `Stack`
//~ `PayloadLayer::new()` in place of `PayloadLayer::streamed()`
use axum::Router;
use tower::Layer;
use tower_inference::{
    client::HttpsClient, request_id::RequestIdLayer, stack::Stack, upstream::UpstreamLayer,
};

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let stack = Stack::new().request_id(RequestIdLayer::new()).upstream(UpstreamLayer::new());
    let _: Router = Router::new().fallback_service(stack.layer(client));
}
