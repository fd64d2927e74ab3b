/// The part of a number of places that one caller may fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    percent: u8,
}

impl Share {
    /// A caller may fill all places.
    pub(super) const ALL: Self = Self { percent: 100 };

    pub(super) const fn of_percent(percent: u8) -> Self {
        Self { percent: if percent < 100 { percent } else { 100 } }
    }

    pub(super) const fn is_all(self) -> bool {
        self.percent == 100
    }

    /// Returns how many of `max` places may be taken before a caller with `own` places gets no more.
    ///
    /// A caller below its share may take the last free place. It has one place at least. Beyond its
    /// share a quarter of all places stays free for other callers.
    pub(super) fn limit(self, max: usize, own: usize) -> usize {
        let share = (max as u128 * u128::from(self.percent)).div_ceil(100);
        let share = usize::try_from(share).unwrap_or(usize::MAX).max(1);
        if own < share { max } else { max - max / 4 }
    }
}
