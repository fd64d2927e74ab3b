//! In place of `packed.rs`: nothing is compressed.

use super::entry::Entry;

#[derive(Clone)]
pub(super) enum Packed {}

impl Packed {
    pub(super) const fn new(_: &Entry, _: usize) -> Option<Self> {
        None
    }

    pub(super) const fn shell(&self) -> &Entry {
        match *self {}
    }

    pub(super) const fn entry(&self) -> Option<Entry> {
        match *self {}
    }

    pub(super) const fn weight(&self) -> u64 {
        match *self {}
    }
}
