/// The handling of the bodies of a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum BodyMode {
    /// Buffered. It must be JSON.
    #[default]
    Json,
    /// Buffered. It may be of any type.
    Bytes,
    /// Not buffered. It may be of any type.
    Streamed,
}

impl BodyMode {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Bytes => 1,
            Self::Streamed => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Bytes,
            2 => Self::Streamed,
            _ => Self::Json,
        }
    }
}
