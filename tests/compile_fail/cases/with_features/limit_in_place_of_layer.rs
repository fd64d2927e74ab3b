//~ the trait bound `Option<ThrottleLayer>: From<Limit>` is not satisfied
use tower_inference::{
    limits::{Limit, Rate},
    stack::Stack,
};

fn main() {
    let _ = Stack::new().throttle(Limit::per_identity(Rate::per_second(10)));
}
