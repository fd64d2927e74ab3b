//~ expected `Payload`, found `Full<Bytes>`
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_inference::{client::HttpsClient, schema::SchemaLayer};

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let service = SchemaLayer::any_body().layer(client);
    let _ = service.oneshot(Request::new(Full::<Bytes>::default()));
}
