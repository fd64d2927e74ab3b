//~ error[E0277]: the trait bound `Infallible: From<std::io::Error>` is not satisfied
use std::{convert::Infallible, io};

use axum::{Router, routing::get};
use tower::{ServiceBuilder, util::MapErrLayer};
use tower_inference::request_id::RequestIdLayer;

fn main() {
    // As the layers of `tower` with a timeout or a queue do.
    let fails = MapErrLayer::new(|never: Infallible| -> io::Error { match never {} });
    let layers = ServiceBuilder::new().layer(RequestIdLayer::new()).layer(fails);
    let _: Router = Router::new().route("/", get(async || "Hello")).layer(layers);
}
