//~ error[E0277]: an `UpstreamLayer` is missing: nothing turns the error `tower_inference::client::Error` of the client into a response
//~ add `.upstream(UpstreamLayer::new())` to the `Stack`
use tower_inference::{client::HttpsClient, request_id::RequestIdLayer, stack::Stack};

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let _ = Stack::new().request_id(RequestIdLayer::new()).boxed(client);
}
