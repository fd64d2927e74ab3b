/// How a stream of events or of JSON lines ended.
///
/// [`tap`](crate::tap#how-a-stream-ends) lists the signs of each end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The stream closed with its own end mark or with a finish reason.
    Done,
    /// The stream reported a failure inside a response with status 200.
    Failed,
    /// The stream broke off without an end mark.
    Cut,
}

impl StreamEnd {
    /// Every end, for tables and tests.
    pub const ALL: &'static [Self] = &[Self::Done, Self::Failed, Self::Cut];

    /// Returns the stable name: `done`, `failed` or `cut`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cut => "cut",
        }
    }

    /// Returns the code of an optional end for an atomic field, where 0 is none.
    pub(super) const fn code(end: Option<Self>) -> u8 {
        match end {
            None => 0,
            Some(Self::Done) => 1,
            Some(Self::Failed) => 2,
            Some(Self::Cut) => 3,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Done),
            2 => Some(Self::Failed),
            3 => Some(Self::Cut),
            _ => None,
        }
    }
}
