//! In place of `decode` without feature `decompression`: no coding is known, so none is taken off.

use bytes::Bytes;

use crate::rejection::Rejection;

#[derive(Clone, Copy, Debug)]
pub(super) enum Coding {}

impl Coding {
    pub(super) const TAKEN: &str = "identity";

    pub(super) const fn named(_name: &[u8]) -> Option<Self> {
        None
    }
}

pub(crate) enum Decoder {}

impl Decoder {
    pub(super) const fn boxed(coding: Coding, _limit: u64) -> Box<Self> {
        match coding {}
    }

    pub(super) const fn push(&self, _data: Bytes) {
        match *self {}
    }

    pub(super) const fn end(&self) {
        match *self {}
    }

    pub(super) const fn is_busy(&self) -> bool {
        match *self {}
    }

    pub(super) const fn step(&self) -> Result<(), Rejection> {
        match *self {}
    }

    pub(super) const fn weight(&self) -> usize {
        match *self {}
    }

    pub(super) const fn into_bytes(self) -> Bytes {
        match self {}
    }
}
