use std::io::IoSlice;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Buf;
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

/// The start of a body and its digest, taken as the body passes.
#[derive(Clone)]
pub(crate) struct Capture {
    start: Vec<u8>,
    // The maximum length of `start`.
    max_bytes: usize,
    total: u64,
    digest: Option<Context>,
    is_whole: bool,
    coding: Option<HeaderValue>,
}

impl Capture {
    /// Returns `None` when nothing is to be taken.
    pub(crate) fn new(max_bytes: usize, digest: bool, headers: &HeaderMap) -> Option<Self> {
        if max_bytes == 0 && !digest {
            return None;
        }
        let coding = headers.get(CONTENT_ENCODING);
        Some(Self {
            start: Vec::new(),
            max_bytes,
            total: 0,
            digest: digest.then(|| Context::new(&SHA256)),
            is_whole: false,
            coding: coding.filter(|coding| *coding != "identity").cloned(),
        })
    }

    /// Takes what another layer needs too. What has passed is gone.
    pub(crate) fn extend(&mut self, max_bytes: usize, digest: bool) {
        if self.total == 0 && !self.is_whole {
            self.max_bytes = self.max_bytes.max(max_bytes);
            if digest {
                self.digest.get_or_insert_with(|| Context::new(&SHA256));
            }
        }
    }

    /// Notes that the body has come to its end.
    pub(crate) const fn end(&mut self) {
        self.is_whole = true;
    }

    pub(crate) fn data(&mut self, data: &[u8]) {
        self.total = self.total.saturating_add(data.len() as u64);
        if let Some(digest) = &mut self.digest {
            digest.update(data);
        }
        let room = self.max_bytes - self.start.len();
        let taken = data.get(..room).unwrap_or(data);
        let needed = self.start.len() + taken.len();
        if needed > self.start.capacity() {
            // A `Vec` alone would take up to twice the bound.
            let doubled = self.start.capacity().saturating_mul(2).min(self.max_bytes);
            self.start.reserve_exact(doubled.max(needed) - self.start.len());
        }
        self.start.extend_from_slice(taken);
    }

    /// Takes data of which not all chunks may be readable in place. The capture ends before the
    /// others.
    pub(crate) fn chunks(&mut self, data: &impl Buf) {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = data.chunks_vectored(&mut slices);
        let before = self.total;
        slices.iter().take(count).for_each(|slice| self.data(slice));
        let all = before.saturating_add(data.remaining() as u64);
        if self.total < all {
            self.total = all;
            self.max_bytes = self.start.len();
            self.digest = None;
        }
    }

    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn coding(&self) -> Option<&str> {
        // A name that is not text is a coding nonetheless.
        self.coding.as_ref().map(|coding| coding.to_str().unwrap_or("unknown"))
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        let digest = self.digest.clone()?.finish();
        digest.as_ref().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn a_capture_never_exceeds_its_bound() {
        let mut capture = Capture::new(1_000, false, &HeaderMap::new()).unwrap();
        for _ in 0..50 {
            capture.data(&[b'x'; 333]);
            assert!(capture.start.capacity() <= 1_000);
        }
        assert_eq!((capture.start().len(), capture.total()), (1_000, 50 * 333));
        assert!(Capture::new(0, false, &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_second_layer_gets_what_it_needs_of_a_body_that_has_not_begun() {
        let mut capture = Capture::new(2, false, &HeaderMap::new()).unwrap();
        capture.extend(4, true);
        capture.data(b"abcdef");
        capture.end();
        assert_eq!((capture.start(), capture.is_whole()), (&b"abcd"[..], true));
        assert_eq!(capture.digest().map(|digest| digest[0]), Some(0xbe));

        let mut begun = Capture::new(2, false, &HeaderMap::new()).unwrap();
        begun.data(b"a");
        begun.extend(4, true);
        begun.data(b"bcdef");
        assert_eq!((begun.start(), begun.digest()), (&b"ab"[..], None));
    }

    #[test]
    fn data_in_pieces_is_taken_whole_or_marked_as_incomplete() {
        let digest = |capture: &Capture| capture.digest().map(|digest| digest[0]);
        let mut whole = Capture::new(4, true, &HeaderMap::new()).unwrap();
        whole.chunks(&b"ab".chain(&b"cdef"[..]));
        assert_eq!((whole.start(), whole.total()), (&b"abcd"[..], 6));
        // Of SHA-256 of `abcdef`.
        assert_eq!(digest(&whole), Some(0xbe));

        let piece = || VecDeque::from_iter([b'x'; 3]);
        let many = piece().chain(piece()).chain(piece()).chain(piece());
        let many = many.chain(piece().chain(piece()).chain(piece()).chain(piece()));
        struct First<B>(B);
        impl<B: Buf> Buf for First<B> {
            fn remaining(&self) -> usize {
                self.0.remaining()
            }
            fn chunk(&self) -> &[u8] {
                self.0.chunk()
            }
            fn advance(&mut self, count: usize) {
                self.0.advance(count);
            }
        }
        let mut part = Capture::new(100, true, &HeaderMap::new()).unwrap();
        part.chunks(&First(many));
        part.data(b"more");
        assert_eq!((part.start(), part.total()), (&b"xxx"[..], 28));
        assert_eq!(digest(&part), None);
    }
}
