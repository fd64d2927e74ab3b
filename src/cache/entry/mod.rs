//! Cache entries, and the memory that stores them.

mod blocks;
#[cfg_attr(not(feature = "cache-compression"), path = "uncompressed.rs")]
mod compressed;
mod convert;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod entry;
mod expiry;
mod facts;
mod header_list;
mod memory;
mod spellings;
mod variants;

#[cfg(test)]
pub(crate) use self::entry::tests::entry;
pub(crate) use self::{
    blocks::Blocks,
    entry::{Entry, EntryState, Lifetime, Origin},
    facts::ResponseFacts,
    header_list::HeaderList,
    memory::Memory,
    variants::converted,
};
