//~ error[E0277]: this client sends bodies of type `http_body_util::Full<bytes::Bytes>` and receives requests with a body of type `Payload`
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
