/// Whether a result tells how it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResultEnd {
    /// It tells its end, or it is no text that a limit can cut.
    Told,
    /// A limit may have cut it.
    Untold,
}

impl ResultEnd {
    /// Returns `Untold` unless the end is told.
    pub(super) const fn told_if(told: bool) -> Self {
        if told { Self::Told } else { Self::Untold }
    }

    /// Returns the end of several results. Returns `None` if there is none or if one has none.
    pub(super) fn of_all(ends: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut ends = ends.into_iter();
        let first = ends.next()??;
        ends.try_fold(first, |all, end| {
            Some(if all == Self::Untold { end.and(Some(all))? } else { end? })
        })
    }
}
