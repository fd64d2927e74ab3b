//! Keys of cache entries, and their invalidation.

mod canonical;
mod entry_key;
mod hasher;
mod invalidation;
mod request_key;
mod tags;

pub(crate) use self::{
    entry_key::{EntryKey, Key, Variant},
    hasher::{KeyHasher, KeySecret},
    invalidation::{Invalidations, Tag, Validity},
    request_key::RequestKey,
    tags::{model_tag, route_tag, tags, tenant_tag},
};
