/// Whether a result states how it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResultEnd {
    /// It states its end, or it is no text that a limit can cut.
    Stated,
    /// A limit may have cut it.
    Unstated,
}

impl ResultEnd {
    /// Returns `Unstated` unless the end is stated.
    pub(super) const fn stated_if(stated: bool) -> Self {
        if stated { Self::Stated } else { Self::Unstated }
    }

    /// Returns the end of several results. Returns `None` if there is none or if one has none.
    pub(super) fn of_all(ends: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut ends = ends.into_iter();
        let first = ends.next()??;
        ends.try_fold(first, |all, end| {
            Some(if all == Self::Unstated { end.and(Some(all))? } else { end? })
        })
    }
}
