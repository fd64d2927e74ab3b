//~ error[E0271]: type mismatch resolving `<RequestId<BufferPayload<HttpsClient>> as Service<Request<Body>>>::Error == Infallible`
//~ expected `Infallible`, found `Error`
use axum::Router;
use tower::ServiceBuilder;
use tower_inference::{
    client::HttpsClient, payload::PayloadLayer, request_id::RequestIdLayer,
};

fn main() {
    let client = HttpsClient::builder().build().unwrap();
    let service = ServiceBuilder::new()
        .layer(RequestIdLayer::new())
        .layer(PayloadLayer::streamed())
        .service(client);
    let _: Router = Router::new().fallback_service(service);
}
