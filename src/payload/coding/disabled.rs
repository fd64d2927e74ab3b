//! Replaces `decoder` without feature `decompression`. No coding is known, so none is decoded.

use bytes::Bytes;

use crate::rejection::Rejection;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Coding {}

impl Coding {
    pub(crate) const ACCEPTED: &str = "identity";

    pub(crate) const fn named(_name: &[u8]) -> Option<Self> {
        None
    }
}

pub(crate) enum Decoder {}

impl Decoder {
    pub(crate) const fn boxed(coding: Coding, _limit: u64) -> Box<Self> {
        match coding {}
    }

    pub(crate) const fn push(&self, _data: Bytes) {
        match *self {}
    }

    pub(crate) const fn end(&self) {
        match *self {}
    }

    pub(crate) const fn is_busy(&self) -> bool {
        match *self {}
    }

    pub(crate) const fn step(&self) -> Result<(), Rejection> {
        match *self {}
    }

    pub(crate) const fn weight(&self) -> usize {
        match *self {}
    }

    pub(crate) const fn into_bytes(self) -> Bytes {
        match self {}
    }
}
