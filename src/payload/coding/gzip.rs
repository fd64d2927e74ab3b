use std::io::{self, BufRead, ErrorKind, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::step::{DecodeError, DecodeStep};

/// A window of 32 KiB (RFC 1951 section 2) and the tables.
pub(crate) const GZIP: usize = 44 * 1024;
/// The decoder keeps the header's fields. Each has at most 64 KiB and no more than the received
/// bytes.
pub(crate) const GZIP_HEADER: usize = 192 * 1024;

/// Decodes members in sequence as one body (RFC 1952 section 2.2). Other data after a member is an
/// error.
pub(crate) fn gunzip(
    gzip: &mut MultiGzDecoder<GzipInput>,
    input: Bytes,
    last: bool,
    output: &mut [u8],
) -> Result<DecodeStep, DecodeError> {
    let before = input.len();
    *gzip.get_mut() = GzipInput { bytes: input, last };
    let read = gzip.read(output);
    let consumed = before - gzip.get_ref().bytes.len();
    match read {
        Ok(written) => Ok(DecodeStep { consumed, written, done: written == 0 }),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Ok(DecodeStep { consumed, written: 0, done: false })
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(DecodeError::TooShort),
        Err(_) => Err(DecodeError::Invalid),
    }
}

/// Returns `WouldBlock` while more bytes may arrive.
#[derive(Default)]
pub(crate) struct GzipInput {
    bytes: Bytes,
    last: bool,
}

impl BufRead for GzipInput {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.last {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.advance(amount);
    }
}

impl Read for GzipInput {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
