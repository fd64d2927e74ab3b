use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::step::{DecodeError, Step};

pub(crate) struct Zstd {
    pub(crate) context: DCtx<'static>,
    // At the end of a frame: one may follow (RFC 8878 section 3), or the end.
    whole: bool,
}

impl Zstd {
    /// As the coding `zstd` has it: RFC 9659 section 3.
    const WINDOW_LOG: u32 = 23;

    pub(crate) fn new() -> Self {
        let mut context = DCtx::create();
        // Never refused: 23 is between zstd's own bounds.
        let _set = context.set_parameter(DParameter::WindowLogMax(Self::WINDOW_LOG));
        Self { context, whole: false }
    }

    pub(crate) fn step(
        &mut self,
        input: &[u8],
        last: bool,
        room: &mut [u8],
    ) -> Result<Step, DecodeError> {
        let (mut taken, mut given) = (0, 0);
        if !(self.whole && input.is_empty()) {
            let size = room.len();
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(room));
            let hint = self.context.decompress_stream(&mut to, &mut from);
            self.whole = hint.map_err(|_code| DecodeError::Invalid)? == 0;
            (taken, given) = (from.pos(), to.pos());
            if last && !self.whole && taken == input.len() && given < size {
                return Err(DecodeError::TooShort);
            }
        }
        Ok(Step { taken, given, done: self.whole && last && taken == input.len() })
    }
}
