/// The bytes that a step has read and written.
pub(crate) struct DecodeStep {
    pub(crate) consumed: usize,
    pub(crate) written: usize,
    /// The body is complete and its end was marked.
    pub(crate) done: bool,
}

/// The reason why coded bytes cannot be decoded.
#[derive(Clone, Copy)]
pub(crate) enum DecodeError {
    TooShort,
    TooLong,
    Invalid,
}
