//! Keys of cache entries, and their invalidation.

mod canonical;
mod entry_key;
mod hasher;
mod invalidation;
mod parts;
mod request_headers;
mod request_key;
mod spelling;
mod tags;

pub(crate) use self::{
    entry_key::{EntryKey, HashedKey, Key, Variant},
    hasher::KeySecret,
    invalidation::{Invalidations, Tag, Validity},
    parts::KeyParts,
    request_headers::RequestHeaders,
    request_key::RequestKey,
    spelling::{Spelling, SpellingSecret},
    tags::{model_tag, route_tag, tags, tenant_tag},
};
