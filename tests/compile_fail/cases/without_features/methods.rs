//~ error[E0277]: the feature `decompression` of `tower-inference` is missing
use tower_inference::payload::PayloadLayer;

fn main() {
    let _ = PayloadLayer::new().decompress();
}
