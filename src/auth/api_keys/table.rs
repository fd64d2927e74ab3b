//! The keys in memory.

#[expect(clippy::disallowed_types, reason = "holds at most MAX_KEYS entries")]
use std::collections::HashMap;
use std::{
    collections::{BTreeMap, hash_map::Entry},
    sync::OnceLock,
};

use super::{
    digest::ApiKeyDigest,
    entry::{KeyEntry, Now},
    error::{ApiKeysError, ApiKeysFault},
    record::ApiKeyRecord,
};

pub(super) const MAX_KEYS: usize = 1_000_000;

/// Finds a key by its digest. The hash of the table has a random key, so that no client can choose keys
/// that collide. The digests are compared in constant time.
#[derive(Default)]
pub(super) struct KeyTable {
    #[expect(clippy::disallowed_types, reason = "holds at most MAX_KEYS entries")]
    // Boxed, because up to half of the table's places are free.
    entries: HashMap<ApiKeyDigest, Box<KeyEntry>>,
    /// The time of the first look-up.
    loaded: OnceLock<Now>,
}

impl KeyTable {
    pub(super) fn from_records<K: Into<ApiKeyDigest>>(
        records: impl IntoIterator<Item = (K, ApiKeyRecord)>,
    ) -> Result<Self, ApiKeysError> {
        let mut table = Self::default();
        for (index, (key, record)) in records.into_iter().enumerate() {
            table.insert(index, key.into(), record)?;
        }
        table.finish()
    }

    /// Adds the entry at `index` of a list.
    pub(super) fn insert(
        &mut self,
        index: usize,
        digest: ApiKeyDigest,
        record: ApiKeyRecord,
    ) -> Result<(), ApiKeysError> {
        if self.entries.len() == MAX_KEYS {
            return Err(ApiKeysFault::TooManyKeys.into());
        }
        let id = record.id.clone();
        let entry = KeyEntry::new(record).map_err(|fault| fault.of_entry(index, Some(&id)))?;
        match self.entries.entry(digest) {
            Entry::Vacant(place) => {
                place.insert(Box::new(entry));
                Ok(())
            }
            Entry::Occupied(other) => {
                let fault = ApiKeysFault::RepeatedKey(other.get().id().into());
                Err(fault.of_entry(index, Some(&id)))
            }
        }
    }

    /// Checks what entries have in common and returns unused memory.
    pub(super) fn finish(mut self) -> Result<Self, ApiKeysError> {
        // One principal in two tenants would carry what belongs to one of them to the other.
        let mut tenants = BTreeMap::new();
        for entry in self.entries.values() {
            let tenant = entry.tenant();
            if *tenants.entry(entry.id()).or_insert(tenant) != tenant {
                return Err(ApiKeysFault::OtherTenant.of_id(entry.id()));
            }
        }
        self.entries.shrink_to_fit();
        Ok(self)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entry of a key and when the table was first used.
    pub(super) fn find(&self, digest: &ApiKeyDigest, now: Now) -> (Option<&KeyEntry>, Now) {
        let loaded = *self.loaded.get_or_init(|| now);
        (self.entries.get(digest).map(AsRef::as_ref), loaded)
    }
}
