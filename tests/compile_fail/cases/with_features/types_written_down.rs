use axum::body::Body;
use tower::layer::util::Identity;
use tower_inference::{
    stack::{BoxedGateway, Gateway, Optional, Stack},
    stalled_reader::StalledReaderLayer,
};

// Slots of later versions come at the end or take the place of the eleventh.
type OfFifteenSlots = Stack<
    Optional<StalledReaderLayer>,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
>;

struct App {
    _stack: OfFifteenSlots,
    _empty: Stack,
    _gateway: Option<Gateway>,
    _boxed: Option<BoxedGateway<Body>>,
}

fn main() {
    let _stack = Stack::new().stalled_reader(None);
    let _ = App { _stack, _empty: Stack::new(), _gateway: None, _boxed: None };
}
