//! Header fields in one allocation, beside the block that has their values.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::block::Blocks;

/// The fields of a head, or of trailers.
///
/// A [`HeaderMap`] takes two allocations, with room for what may still come.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Box<[(HeaderName, HeaderValue)]>);

impl Fields {
    /// Bytes of all values.
    pub(super) fn values_length(&self) -> usize {
        self.iter().map(|(_, value)| value.len()).sum()
    }

    /// Bytes of memory, but for those of the values.
    pub(super) fn weight(&self) -> usize {
        // The name of a field that is no standard one: an allocation, and one more to share it.
        const OF_NAME: usize = 48;
        let names: usize = self.iter().map(|(name, _)| name.as_str().len() + OF_NAME).sum();
        size_of_val(&*self.0) + names
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// The same fields, with values in memory of `blocks`.
    pub(super) fn copy_into(&self, blocks: &mut Blocks) -> Self {
        Self::copied(self.len(), self.iter().map(|(name, value)| (name, value)), blocks)
    }

    /// So many fields, whose values are copied into `blocks`. Names own their bytes: none can be made
    /// of a slice.
    pub(super) fn copied<'a>(
        count: usize,
        fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        blocks: &mut Blocks,
    ) -> Self {
        let mut copies = Vec::with_capacity(count);
        copies.extend(fields.map(|(name, value)| (name.clone(), blocks.copy_value(value))));
        Self(copies.into())
    }

    /// A map of these fields, with room for `more`.
    pub(super) fn to_map(&self, more: usize) -> HeaderMap {
        // A map has room for 24,576 names at most. All of these came out of one.
        let mut map = HeaderMap::try_with_capacity(self.len() + more).unwrap_or_default();
        for (name, value) in self.iter() {
            let _fits = map.try_append(name.clone(), value.clone());
        }
        map
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
