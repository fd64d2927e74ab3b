//~ error[E0277]: the trait bound `Option<HfTokenLayer>: From<Stage>` is not satisfied
use tower_inference::{hf::Stage, stack::Stack};

fn stack(stage: Stage) {
    let _ = Stack::new().hf_token(stage);
}

fn main() {
    let _ = stack;
}
