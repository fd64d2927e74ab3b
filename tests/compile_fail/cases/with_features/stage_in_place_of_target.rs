//~ expected `Target`, found `Stage`
use tower_inference::{fallback::FallbackLayer, hf::Stage};

fn layer(stage: Stage) {
    let _ = FallbackLayer::new([stage]);
}

fn main() {
    let _ = layer;
}
