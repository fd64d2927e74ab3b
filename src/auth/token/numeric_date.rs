//! Dates in tokens.

use std::time::Duration;

use serde_core::{Deserialize, Deserializer, de::Error};
use serde_json::Number;

/// The last second of the year 9999. RFC 3339 cannot express a later one.
const LAST_SECOND: u64 = 253_402_300_799;

/// Seconds since 1970-01-01 UTC with an optional fraction (RFC 7519 section 2). The last one is in
/// the year 9999.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NumericDate(pub(crate) Duration);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let since_epoch = match number.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        since_epoch
            .filter(|since_epoch| *since_epoch <= Duration::from_secs(LAST_SECOND))
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected seconds since 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_an_optional_fraction_and_a_maximum() {
        let date =
            |number: &str| serde_json::from_str::<NumericDate>(number).ok().map(|date| date.0);
        assert_eq!(date("0"), Some(Duration::ZERO));
        assert_eq!(date("1300.25"), Some(Duration::from_millis(1_300_250)));
        assert_eq!(date("1.3e3"), Some(Duration::from_secs(1_300)));
        assert_eq!(date("253402300799"), Some(Duration::from_secs(LAST_SECOND)));
        for number in [
            "-1",
            "-0.5",
            "253402300800",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1e999",
            "\"1300\"",
            "null",
            "true",
            "[1]",
            "{}",
            "NaN",
        ] {
            assert_eq!(date(number), None, "{number}");
        }
    }
}
