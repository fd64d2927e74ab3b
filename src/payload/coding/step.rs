/// What a step has read of its input, and written into its output.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) written: usize,
    /// The body is whole, and its end was said.
    pub(crate) done: bool,
}

/// Why coded bytes cannot be decoded.
#[derive(Clone, Copy)]
pub(crate) enum DecodeError {
    TooShort,
    TooLong,
    Invalid,
}
