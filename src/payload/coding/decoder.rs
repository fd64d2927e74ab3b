use std::fmt;

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;

use super::{
    brotli::Brotli,
    chunks::Chunks,
    error::too_short,
    gzip::{GZIP, GZIP_HEADER, GzipInput, gunzip},
    step::DecodeError,
    zstd::Zstd,
};
use crate::{
    payload::error::PayloadError,
    rejection::{Refusal, Rejection},
};

/// A content coding that can be decoded (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// The value of `accept-encoding`.
    pub(crate) const ACCEPTED: &str = "gzip, br, zstd";

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("br") {
            Some(Self::Brotli)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    const fn invalid_detail(self) -> &'static str {
        match self {
            Self::Gzip => "content-encoding: the body is not gzip",
            Self::Brotli => "content-encoding: the body is not br",
            Self::Zstd => "content-encoding: the body is not zstd with a window of at most 8 MiB",
        }
    }
}

/// Decodes a body in small steps.
///
/// Other tasks can run between two steps. A body that exceeds the limit is noticed early.
pub(crate) struct Decoder {
    coding: Coding,
    codec: Codec,
    // Received bytes that are not decoded yet.
    input: Bytes,
    // Number of received bytes.
    received: usize,
    // No more bytes will arrive.
    ended: bool,
    // The last step filled its output.
    output_full: bool,
    done: bool,
    limit: u64,
    decoded: Chunks,
}

impl Decoder {
    /// Coded bytes in one step. A few coded bytes can expand to many decoded ones.
    const STEP: usize = 4 * 1024;

    /// Creates a decoder for a body of at most `limit` decoded bytes.
    pub(crate) fn boxed(coding: Coding, limit: u64) -> Box<Self> {
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(MultiGzDecoder::new(GzipInput::default())),
            Coding::Brotli => Codec::Brotli(Box::new(Brotli::new())),
            Coding::Zstd => Codec::Zstd(Zstd::new()),
        };
        let (input, received, decoded) = (Bytes::new(), 0, Chunks::default());
        let (ended, output_full, done) = (false, false, false);
        Box::new(Self { coding, codec, input, received, ended, output_full, done, limit, decoded })
    }

    /// Adds coded bytes. The decoder must not be busy.
    pub(crate) fn push(&mut self, data: Bytes) {
        self.received = self.received.saturating_add(data.len());
        self.input = data;
    }

    /// Marks the last byte as received.
    pub(crate) const fn end(&mut self) {
        self.ended = true;
    }

    /// Whether a step can run before more bytes are added or the body is complete.
    pub(crate) fn is_busy(&self) -> bool {
        !self.input.is_empty() || self.output_full || self.ended && !self.done
    }

    pub(crate) fn step(&mut self) -> Result<(), Rejection> {
        let input = self.input.slice(..self.input.len().min(Self::STEP));
        let last = self.ended && input.len() == self.input.len();
        let output = self.decoded.output();
        let size = output.len();
        let stepped = match &mut self.codec {
            Codec::Gzip(gzip) => gunzip(gzip, input, last, output),
            Codec::Brotli(brotli) => brotli.step(&input, last, output),
            Codec::Zstd(zstd) => zstd.step(&input, last, output),
        };
        let step = stepped.map_err(|error| error.rejection(self.coding))?;
        self.input.advance(step.consumed);
        self.output_full = step.written == size;
        self.done = step.done;
        self.decoded.grow(step.written);
        if self.decoded.length > self.limit {
            return Err(PayloadError::TooLarge(Some(self.limit)).rejection());
        }
        Ok(())
    }

    /// Returns the memory in use: the window and tables, the decoded bytes and the pending coded
    /// bytes.
    pub(crate) fn weight(&self) -> usize {
        let codec = match &self.codec {
            Codec::Gzip(_) => GZIP + self.received.min(GZIP_HEADER),
            Codec::Brotli(brotli) => brotli.weight(),
            Codec::Zstd(zstd) => zstd.context.sizeof(),
        };
        codec + self.decoded.weight() + self.input.len()
    }

    /// Returns the decoded bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        // Frees the window before the chunks are joined.
        drop(self.codec);
        self.decoded.into_bytes()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&self.coding).finish()
    }
}

impl DecodeError {
    /// Tells the client what to fix without showing decoded bytes.
    fn rejection(self, coding: Coding) -> Rejection {
        let detail = match self {
            Self::TooShort => return too_short(),
            Self::TooLong => "content-encoding: more data after the coded body",
            Self::Invalid => coding.invalid_detail(),
        };
        Rejection::new(Refusal::MalformedPayload).with_detail(detail)
    }
}

enum Codec {
    Gzip(MultiGzDecoder<GzipInput>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

#[cfg(test)]
mod tests {
    use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, zstd_sys::ZSTD_EndDirective};

    use super::*;

    /// Creates a frame without a declared length, as in a stream.
    fn zstd(data: &[u8], window_log: u32) -> Bytes {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::WindowLog(window_log)).unwrap();
        let mut coded = Vec::with_capacity(zstd_safe::compress_bound(data.len()));
        let (mut from, mut to) = (InBuffer::around(data), OutBuffer::around(&mut coded));
        for end in [ZSTD_EndDirective::ZSTD_e_flush, ZSTD_EndDirective::ZSTD_e_end] {
            while context.compress_stream2(&mut to, &mut from, end).unwrap() > 0 {}
        }
        coded.into()
    }

    fn run(decoder: &mut Decoder) -> Result<(), Rejection> {
        while decoder.is_busy() {
            decoder.step()?;
        }
        Ok(())
    }

    fn memory(decoder: &Decoder) -> usize {
        let Codec::Zstd(zstd) = &decoder.codec else { panic!("not zstd") };
        zstd.context.sizeof()
    }

    /// zstd allocates in C, so a Rust allocator cannot count it.
    #[test]
    fn zstd_window_costs_at_most_8_mib() {
        let zeros = vec![0; 32 << 20];
        let mut decoder = Decoder::boxed(Coding::Zstd, 16 << 20);
        decoder.push(zstd(&zeros, 23));
        let refused = run(&mut decoder).unwrap_err();
        assert_eq!(refused.refusal(), Refusal::PayloadTooLarge);
        assert!(decoder.decoded.length <= (16 << 20) + Chunks::CHUNK as u64);
        let window = memory(&decoder);
        assert!((8 << 20..9 << 20).contains(&window), "{window}");

        let mut decoder = Decoder::boxed(Coding::Zstd, u64::MAX);
        decoder.push(zstd(&zeros, 24));
        assert_eq!(run(&mut decoder).unwrap_err().refusal(), Refusal::MalformedPayload);
        let window = memory(&decoder);
        assert!(window < 1 << 20, "{window}");
    }

    #[test]
    fn step_reads_and_writes_little() {
        let mut decoder = Decoder::boxed(Coding::Zstd, u64::MAX);
        decoder.push(zstd(&vec![0; 1 << 20], 20));
        let mut steps = 0;
        while decoder.is_busy() {
            let (left, length) = (decoder.input.len(), decoder.decoded.length);
            decoder.step().unwrap();
            assert!(left - decoder.input.len() <= Decoder::STEP);
            assert!(decoder.decoded.length - length <= Chunks::CHUNK as u64);
            steps += 1;
        }
        assert!(steps >= (1 << 20) / Chunks::CHUNK, "{steps}");
        decoder.end();
        run(&mut decoder).unwrap();
        let decoded = decoder.into_bytes();
        assert_eq!(decoded.len(), 1 << 20);
        // The buffer has the exact size.
        assert_eq!(decoded.try_into_mut().unwrap().capacity(), 1 << 20);
    }
}
