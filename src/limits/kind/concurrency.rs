/// A number of requests that may be in flight at a time.
///
/// A request is in flight until its response body has ended or was dropped. Each process counts its
/// own, whatever the store. In a token budget, the permits are the tokens that are reserved in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Concurrency {
    max: u32,
}

impl Concurrency {
    /// Allows `max` in flight. Zero rejects every request.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { max }
    }

    pub(crate) const fn max(self) -> u32 {
        self.max
    }
}
