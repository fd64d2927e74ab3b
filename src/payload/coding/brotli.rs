use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, StandardAlloc,
};

use super::step::{DecodeError, DecodeStep};

pub(crate) struct Brotli {
    state: BrotliState<CountingAlloc, CountingAlloc, CountingAlloc>,
    finished: bool,
}

/// Counts the bytes that the decoder allocates for its window and its tables.
#[derive(Default)]
struct CountingAlloc {
    bytes: usize,
}

impl<T: Clone + Default> Allocator<T> for CountingAlloc {
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
    pub(crate) fn new() -> Self {
        let alloc = CountingAlloc::default;
        // Strict mode limits the window to 16 MiB (RFC 7932 section 9.1). An extension permits 1
        // GiB.
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), finished: false }
    }

    pub(crate) fn weight(&self) -> usize {
        let BrotliState { alloc_u8, alloc_u32, alloc_hc, .. } = &self.state;
        size_of::<Self>() + alloc_u8.bytes + alloc_u32.bytes + alloc_hc.bytes
    }

    pub(crate) fn step(
        &mut self,
        input: &[u8],
        last: bool,
        output: &mut [u8],
    ) -> Result<DecodeStep, DecodeError> {
        let (mut consumed, mut written) = (0, 0);
        if !self.finished {
            let (mut left, mut free, mut total) = (input.len(), output.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut consumed,
                input,
                &mut free,
                &mut written,
                output,
                &mut total,
                &mut self.state,
            );
            match result {
                BrotliResult::ResultSuccess => self.finished = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput if last && written < output.len() => {
                    return Err(DecodeError::TooShort);
                }
                BrotliResult::NeedsMoreInput => {}
                BrotliResult::ResultFailure => return Err(DecodeError::Invalid),
            }
        }
        if self.finished && consumed < input.len() {
            return Err(DecodeError::TooLong);
        }
        Ok(DecodeStep { consumed, written, done: self.finished && last })
    }
}
