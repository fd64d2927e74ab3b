use std::{
    fmt,
    io::{self, BufRead, ErrorKind, Read},
};

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, StandardAlloc,
};
use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{PayloadError, coding::TOO_SHORT};
use crate::rejection::{Refusal, Rejection};

/// A content coding that can be taken off (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// Their names, for `accept-encoding`.
    pub(super) const TAKEN: &str = "gzip, br, zstd";

    pub(super) fn named(name: &[u8]) -> Option<Self> {
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

    const fn broken(self) -> &'static str {
        match self {
            Self::Gzip => "content-encoding: the body is not gzip",
            Self::Brotli => "content-encoding: the body is not br",
            Self::Zstd => "content-encoding: the body is not zstd with a window of at most 8 MiB",
        }
    }
}

/// Takes a coding off, a step at a time.
///
/// A step reads and writes little, so that others can have their turn between two of them, and what
/// is too large is noticed before much of it is there.
pub(crate) struct Decoder {
    coding: Coding,
    codec: Codec,
    // What came, and is not decoded yet.
    input: Bytes,
    // How much came in all.
    came: usize,
    // No more will come.
    ended: bool,
    // The last step had room for no more.
    full: bool,
    done: bool,
    limit: u64,
    decoded: Pieces,
}

impl Decoder {
    /// Coded bytes that a step reads. A few of them can say much, and a few more can say it again.
    const STEP: usize = 4 * 1024;

    /// Takes `coding` off a body that may have `limit` bytes without it.
    pub(super) fn boxed(coding: Coding, limit: u64) -> Box<Self> {
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(MultiGzDecoder::new(Input::default())),
            Coding::Brotli => Codec::Brotli(Box::new(Brotli::new())),
            Coding::Zstd => Codec::Zstd(Zstd::new()),
        };
        let (input, came, decoded) = (Bytes::new(), 0, Pieces::default());
        let (ended, full, done) = (false, false, false);
        Box::new(Self { coding, codec, input, came, ended, full, done, limit, decoded })
    }

    /// Gives it more to decode. It must not be busy.
    pub(super) fn push(&mut self, data: Bytes) {
        self.came = self.came.saturating_add(data.len());
        self.input = data;
    }

    /// Says that no more will come.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// Whether there is something to do before more is given to it, or before all is done.
    pub(super) fn is_busy(&self) -> bool {
        !self.input.is_empty() || self.full || self.ended && !self.done
    }

    pub(super) fn step(&mut self) -> Result<(), Rejection> {
        let input = self.input.slice(..self.input.len().min(Self::STEP));
        let last = self.ended && input.len() == self.input.len();
        let room = self.decoded.room();
        let size = room.len();
        let stepped = match &mut self.codec {
            Codec::Gzip(gzip) => gunzip(gzip, input, last, room),
            Codec::Brotli(brotli) => brotli.step(&input, last, room),
            Codec::Zstd(zstd) => zstd.step(&input, last, room),
        };
        let step = stepped.map_err(|broken| broken.rejection(self.coding))?;
        self.input.advance(step.taken);
        self.full = step.given == size;
        self.done = step.done;
        self.decoded.grow(step.given);
        if self.decoded.length > self.limit {
            return Err(PayloadError::TooLarge(Some(self.limit)).rejection());
        }
        Ok(())
    }

    /// How many bytes of memory it takes now: its window and tables, what was decoded, and what is
    /// left to decode.
    pub(super) fn weight(&self) -> usize {
        let codec = match &self.codec {
            Codec::Gzip(_) => GZIP + self.came.min(GZIP_HEADER),
            Codec::Brotli(brotli) => brotli.weight(),
            Codec::Zstd(zstd) => zstd.context.sizeof(),
        };
        codec + self.decoded.weight() + self.input.len()
    }

    /// What was decoded.
    pub(super) fn into_bytes(self) -> Bytes {
        // The window goes before the pieces are put together.
        drop(self.codec);
        self.decoded.into_bytes()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&self.coding).finish()
    }
}

/// What a step has read of its input, and written into its room.
struct Step {
    taken: usize,
    given: usize,
    /// The body is whole, and its end was said.
    done: bool,
}

#[derive(Clone, Copy)]
enum Broken {
    TooShort,
    TooLong,
    Invalid,
}

impl Broken {
    /// Tells a caller how to mend it, and nothing of what was decoded.
    fn rejection(self, coding: Coding) -> Rejection {
        Rejection::new(Refusal::MalformedPayload).with_detail(match self {
            Self::TooShort => TOO_SHORT,
            Self::TooLong => "content-encoding: more data after the coded body",
            Self::Invalid => coding.broken(),
        })
    }
}

enum Codec {
    Gzip(MultiGzDecoder<Input>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

// === gzip ===

/// A window of 32 KiB (RFC 1951 section 2) and the tables.
const GZIP: usize = 44 * 1024;
/// The fields of a header, which are kept: each at most 64 KiB, and no longer than what has come.
const GZIP_HEADER: usize = 192 * 1024;

/// Members that follow one another are one body (RFC 1952 section 2.2). What is no member is not.
fn gunzip(
    gzip: &mut MultiGzDecoder<Input>,
    input: Bytes,
    last: bool,
    room: &mut [u8],
) -> Result<Step, Broken> {
    let before = input.len();
    *gzip.get_mut() = Input { bytes: input, last };
    let read = gzip.read(room);
    let taken = before - gzip.get_ref().bytes.len();
    match read {
        Ok(given) => Ok(Step { taken, given, done: given == 0 }),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Ok(Step { taken, given: 0, done: false })
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Broken::TooShort),
        Err(_) => Err(Broken::Invalid),
    }
}

/// Blocks where more may come.
#[derive(Default)]
struct Input {
    bytes: Bytes,
    last: bool,
}

impl BufRead for Input {
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

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

// === br ===

struct Brotli {
    state: BrotliState<Counted, Counted, Counted>,
    finished: bool,
}

/// Counts the bytes that the decoder has allocated: its window and the tables of its codes.
#[derive(Default)]
struct Counted {
    bytes: usize,
}

impl<T: Clone + Default> Allocator<T> for Counted {
    type AllocatedMemory = <StandardAlloc as Allocator<T>>::AllocatedMemory;

    fn alloc_cell(&mut self, length: usize) -> Self::AllocatedMemory {
        self.bytes = self.bytes.saturating_add(length.saturating_mul(size_of::<T>()));
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, cell: Self::AllocatedMemory) {
        let length = SliceWrapper::<T>::slice(&cell).len();
        self.bytes = self.bytes.saturating_sub(length.saturating_mul(size_of::<T>()));
    }
}

impl Brotli {
    fn new() -> Self {
        let alloc = Counted::default;
        // Strict: a window is at most 16 MiB (RFC 7932 section 9.1), not the 1 GiB of an extension.
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), finished: false }
    }

    fn weight(&self) -> usize {
        let BrotliState { alloc_u8, alloc_u32, alloc_hc, .. } = &self.state;
        size_of::<Self>() + alloc_u8.bytes + alloc_u32.bytes + alloc_hc.bytes
    }

    fn step(&mut self, input: &[u8], last: bool, room: &mut [u8]) -> Result<Step, Broken> {
        let (mut taken, mut given) = (0, 0);
        if !self.finished {
            let (mut left, mut free, mut total) = (input.len(), room.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                input,
                &mut free,
                &mut given,
                room,
                &mut total,
                &mut self.state,
            );
            match result {
                BrotliResult::ResultSuccess => self.finished = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput if last && given < room.len() => {
                    return Err(Broken::TooShort);
                }
                BrotliResult::NeedsMoreInput => {}
                BrotliResult::ResultFailure => return Err(Broken::Invalid),
            }
        }
        if self.finished && taken < input.len() {
            return Err(Broken::TooLong);
        }
        Ok(Step { taken, given, done: self.finished && last })
    }
}

// === zstd ===

struct Zstd {
    context: DCtx<'static>,
    // At the end of a frame: one may follow (RFC 8878 section 3), or the end.
    whole: bool,
}

impl Zstd {
    /// As the coding `zstd` has it: RFC 9659 section 3.
    const WINDOW_LOG: u32 = 23;

    fn new() -> Self {
        let mut context = DCtx::create();
        // Never refused: 23 is between zstd's own bounds.
        let _set = context.set_parameter(DParameter::WindowLogMax(Self::WINDOW_LOG));
        Self { context, whole: false }
    }

    fn step(&mut self, input: &[u8], last: bool, room: &mut [u8]) -> Result<Step, Broken> {
        let (mut taken, mut given) = (0, 0);
        if !(self.whole && input.is_empty()) {
            let size = room.len();
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(room));
            let hint = self.context.decompress_stream(&mut to, &mut from);
            self.whole = hint.map_err(|_code| Broken::Invalid)? == 0;
            (taken, given) = (from.pos(), to.pos());
            if last && !self.whole && taken == input.len() && given < size {
                return Err(Broken::TooShort);
            }
        }
        Ok(Step { taken, given, done: self.whole && last && taken == input.len() })
    }
}

// === what was decoded ===

/// Bytes in pieces of one size, put together in the end: so a body that turns out too large has
/// cost what it is, and no copy of it.
#[derive(Default)]
struct Pieces {
    // All are full but the last.
    pieces: Vec<Vec<u8>>,
    // How much of the last is filled.
    filled: usize,
    length: u64,
}

impl Pieces {
    const PIECE: usize = 16 * 1024;

    /// Where more can be put. Never empty.
    fn room(&mut self) -> &mut [u8] {
        if self.pieces.is_empty() || self.filled == Self::PIECE {
            self.pieces.push(vec![0; Self::PIECE]);
            self.filled = 0;
        }
        let last = self.pieces.last_mut().map(Vec::as_mut_slice).unwrap_or_default();
        last.get_mut(self.filled..).unwrap_or_default()
    }

    /// Says how much was put there.
    const fn grow(&mut self, given: usize) {
        self.filled += given;
        self.length += given as u64;
    }

    const fn weight(&self) -> usize {
        self.pieces.len() * Self::PIECE + self.pieces.capacity() * size_of::<Vec<u8>>()
    }

    fn into_bytes(mut self) -> Bytes {
        if let Some(last) = self.pieces.last_mut() {
            last.truncate(self.filled);
        }
        let mut whole = Vec::with_capacity(self.pieces.iter().map(Vec::len).sum());
        for piece in self.pieces {
            whole.extend_from_slice(&piece);
        }
        whole.into()
    }
}

#[cfg(test)]
mod tests {
    use zstd_safe::{CCtx, CParameter, zstd_sys::ZSTD_EndDirective};

    use super::*;

    /// A frame that does not say its length, as a stream has it.
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

    /// Its memory is that of C, which no allocator of ours can count.
    #[test]
    fn a_zstd_window_costs_8_mib_and_no_more() {
        let zeros = vec![0; 32 << 20];
        let mut decoder = Decoder::boxed(Coding::Zstd, 16 << 20);
        decoder.push(zstd(&zeros, 23));
        let refused = run(&mut decoder).unwrap_err();
        assert_eq!(refused.refusal(), Refusal::PayloadTooLarge);
        assert!(decoder.decoded.length <= (16 << 20) + Pieces::PIECE as u64);
        let window = memory(&decoder);
        assert!((8 << 20..9 << 20).contains(&window), "{window}");

        let mut decoder = Decoder::boxed(Coding::Zstd, u64::MAX);
        decoder.push(zstd(&zeros, 24));
        assert_eq!(run(&mut decoder).unwrap_err().refusal(), Refusal::MalformedPayload);
        let window = memory(&decoder);
        assert!(window < 1 << 20, "{window}");
    }

    #[test]
    fn a_step_reads_and_writes_little() {
        let mut decoder = Decoder::boxed(Coding::Zstd, u64::MAX);
        decoder.push(zstd(&vec![0; 1 << 20], 20));
        let mut steps = 0;
        while decoder.is_busy() {
            let (left, length) = (decoder.input.len(), decoder.decoded.length);
            decoder.step().unwrap();
            assert!(left - decoder.input.len() <= Decoder::STEP);
            assert!(decoder.decoded.length - length <= Pieces::PIECE as u64);
            steps += 1;
        }
        assert!(steps >= (1 << 20) / Pieces::PIECE, "{steps}");
        decoder.end();
        run(&mut decoder).unwrap();
        let decoded = decoder.into_bytes();
        assert_eq!(decoded.len(), 1 << 20);
        // Room is made for what there is.
        assert_eq!(decoded.try_into_mut().unwrap().capacity(), 1 << 20);
    }
}
