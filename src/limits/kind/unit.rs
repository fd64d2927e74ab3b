/// The unit of a limit's permits.
///
/// It is part of each counter's key. A rate of requests and a rate of tokens with one name have
/// different counters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    Requests,
    Tokens,
}

impl Unit {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    /// Writes a count with its unit, such as `1 request`.
    pub(crate) fn count(self, count: u64) -> String {
        match self {
            Self::Requests if count == 1 => "1 request".to_owned(),
            Self::Tokens if count == 1 => "1 token".to_owned(),
            Self::Requests | Self::Tokens => format!("{count} {}", self.name()),
        }
    }
}
