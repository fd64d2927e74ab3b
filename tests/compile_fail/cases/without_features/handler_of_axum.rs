//~ {handler}: Handler<_, _>` is not satisfied
use axum::{Router, routing::post};
use tower_inference::payload::Payload;

async fn handler(_: Payload) {}

fn main() {
    let _: Router = Router::new().route("/", post(handler));
}
