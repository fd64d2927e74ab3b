//~ error[E0277]: the trait bound `Stack<
use axum::Router;
use tower_inference::{payload::PayloadLayer, stack::Stack, upstream::UpstreamLayer};

fn main() {
    let gateway = Stack::new().payload(PayloadLayer::new()).upstream(UpstreamLayer::new());
    let _: Router = Router::new().fallback_service(gateway);
}
