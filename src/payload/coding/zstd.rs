use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::step::{DecodeError, DecodeStep};

pub(crate) struct Zstd {
    pub(crate) context: DCtx<'static>,
    // At the end of a frame. Another frame may follow (RFC 8878 section 3).
    frame_ended: bool,
}

impl Zstd {
    /// The limit of RFC 9659 section 3.
    const WINDOW_LOG: u32 = 23;

    pub(crate) fn new() -> Self {
        let mut context = DCtx::create();
        // 23 is within zstd's own bounds, so this cannot fail.
        let _set = context.set_parameter(DParameter::WindowLogMax(Self::WINDOW_LOG));
        Self { context, frame_ended: false }
    }

    pub(crate) fn step(
        &mut self,
        input: &[u8],
        last: bool,
        output: &mut [u8],
    ) -> Result<DecodeStep, DecodeError> {
        let (mut consumed, mut written) = (0, 0);
        if !(self.frame_ended && input.is_empty()) {
            let size = output.len();
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
            let hint = self.context.decompress_stream(&mut to, &mut from);
            self.frame_ended = hint.map_err(|_code| DecodeError::Invalid)? == 0;
            (consumed, written) = (from.pos(), to.pos());
            if last && !self.frame_ended && consumed == input.len() && written < size {
                return Err(DecodeError::TooShort);
            }
        }
        Ok(DecodeStep {
            consumed,
            written,
            done: self.frame_ended && last && consumed == input.len(),
        })
    }
}
