/// So many in flight at a time. A request is in flight until its answer has ended or was dropped.
///
/// Always counted by this process alone, whatever the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Concurrency {
    most: u32,
}

impl Concurrency {
    /// At most so many. Zero lets nothing pass.
    #[must_use]
    pub const fn of(most: u32) -> Self {
        Self { most }
    }

    pub(super) const fn most(self) -> u32 {
        self.most
    }
}
