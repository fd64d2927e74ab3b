use http::{HeaderMap, HeaderName, HeaderValue};

use super::blocks::Blocks;

/// Headers or trailers in one allocation, besides the block that has their values.
///
/// A [`HeaderMap`] takes two allocations and room for more headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderList(Box<[(HeaderName, HeaderValue)]>);

impl HeaderList {
    /// Returns the bytes of all values.
    pub(crate) fn values_length(&self) -> usize {
        self.iter().map(|(_, value)| value.len()).sum()
    }

    /// Returns the memory in bytes, without the values.
    pub(crate) fn weight(&self) -> usize {
        // A non-standard name takes an allocation and one more to share it.
        const NAME: usize = 48;
        let names: usize = self.iter().map(|(name, _)| name.as_str().len() + NAME).sum();
        size_of_val(&*self.0) + names
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }

    /// Copies the values into `blocks`.
    pub(crate) fn copy_into(&self, blocks: &mut Blocks) -> Self {
        Self::copied(self.len(), self.iter().map(|(name, value)| (name, value)), blocks)
    }

    /// Copies `count` headers with their values into `blocks`. Names own their bytes already.
    pub(crate) fn copied<'a>(
        count: usize,
        headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        blocks: &mut Blocks,
    ) -> Self {
        let mut copies = Vec::with_capacity(count);
        copies.extend(headers.map(|(name, value)| (name.clone(), blocks.copy_value(value))));
        Self(copies.into())
    }

    /// Returns a map with room for `more` headers.
    pub(crate) fn to_map(&self, more: usize) -> HeaderMap {
        // A map has room for 24,576 names. All of these came from one.
        let mut map = HeaderMap::try_with_capacity(self.len() + more).unwrap_or_default();
        for (name, value) in self.iter() {
            let _fits = map.try_append(name.clone(), value.clone());
        }
        map
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for HeaderList {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(headers: T) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl From<&HeaderMap> for HeaderList {
    fn from(map: &HeaderMap) -> Self {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
