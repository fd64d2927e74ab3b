//~ error[E0277]: the trait bound `Tokens: From<&str>` is not satisfied
use tower_inference::hf::{HfTokenLayer, Origin};

fn layer(origin: Origin) {
    let _ = HfTokenLayer::new(origin, "hf_example");
}

fn main() {
    let _ = layer;
}
