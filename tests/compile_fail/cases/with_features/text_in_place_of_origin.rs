//~ expected `Origin`, found `&str`
use tower_inference::hf::{HfTokenLayer, TokenSource};

fn main() {
    let token = TokenSource::env("HF_TOKEN").unwrap();
    let _ = HfTokenLayer::new("https://router.huggingface.co", token);
}
