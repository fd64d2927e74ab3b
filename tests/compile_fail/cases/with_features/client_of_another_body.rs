//~ error[E0277]: the trait bound `HttpsClient<Full<Bytes>>: Service<Request<Payload>>` is not satisfied
use bytes::Bytes;
use http_body_util::Full;
use tower_inference::{
    client::HttpsClient, payload::PayloadLayer, stack::Stack, upstream::UpstreamLayer,
};

fn main() {
    let client = HttpsClient::builder().build_for::<Full<Bytes>>().unwrap();
    let stack = Stack::new().payload(PayloadLayer::new()).upstream(UpstreamLayer::new());
    let _ = stack.boxed(client);
}
