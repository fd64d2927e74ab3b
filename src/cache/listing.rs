use super::{key::At, layer::CacheLayer};

/// A place in the list of flights, struck off by being dropped.
#[derive(Debug)]
pub(super) struct Listing {
    layer: CacheLayer,
    at: At,
    number: u64,
}

impl Listing {
    pub(super) const fn new(layer: CacheLayer, at: At, number: u64) -> Self {
        Self { layer, at, number }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.layer.strike(self.at, self.number);
    }
}
