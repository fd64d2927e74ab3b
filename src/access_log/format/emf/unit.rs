/// The unit of a metric.
///
/// CloudWatch has more units: of other sizes, in bits and per second.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unit {
    /// `Seconds`
    Seconds,
    /// `Milliseconds`
    Milliseconds,
    /// `Microseconds`
    Microseconds,
    /// `Bytes`
    Bytes,
    /// `Percent`
    Percent,
    /// `Count`
    Count,
    /// `None`, such as an amount of money.
    None,
}

impl Unit {
    /// Returns the name that CloudWatch has for the unit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Microseconds => "Microseconds",
            Self::Bytes => "Bytes",
            Self::Percent => "Percent",
            Self::Count => "Count",
            Self::None => "None",
        }
    }
}
