use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use tower::service_fn;
use tower_inference::{
    payload::{Payload, PayloadLayer},
    stack::Stack,
};

fn main() {
    let client = service_fn(|_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let _ = Stack::new().payload(PayloadLayer::new()).boxed(client).snapshot();
}
