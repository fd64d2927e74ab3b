//! Counters in this process.

mod backend;
mod settings;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::backend::MemoryBackend;
pub use self::settings::{MemoryStore, OverflowPolicy};
