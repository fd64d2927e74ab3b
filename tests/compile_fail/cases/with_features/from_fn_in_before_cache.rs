//~ error[E0277]: the trait bound `FromFn<
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use tower::Layer;
use tower_inference::{
    client::HttpsClient, payload::PayloadLayer, stack::Stack, upstream::UpstreamLayer,
};

async fn own(request: Request, next: Next) -> Response {
    next.run(request).await
}

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .before_cache(from_fn(own))
        .upstream(UpstreamLayer::new());
    let _: Router = Router::new().fallback_service(stack.layer(client));
}
