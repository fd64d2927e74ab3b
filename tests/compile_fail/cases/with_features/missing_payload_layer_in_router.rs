//~ error[E0277]: a `PayloadLayer` is missing
use axum::{Router, routing::post};
use tower_inference::schema::SchemaLayer;

fn main() {
    let _: Router = Router::new().route("/", post(async || "ok")).layer(SchemaLayer::any_body());
}
