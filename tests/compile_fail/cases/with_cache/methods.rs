//~ error[E0277]: the feature `cache-compression` of `tower-inference` is missing
use tower_inference::cache::MemoryTier;

fn main() {
    let _ = MemoryTier::new().compress_above(1024);
}
