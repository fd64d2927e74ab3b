use std::fmt;

use super::hex::{is_hex, is_zero};

/// A trace id of W3C Trace Context: 32 lowercase hexadecimal digits that are not all zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// Returns the id of these digits. Returns `None` when they do not have the form of section
    /// 3.2.2.3.
    #[must_use]
    pub fn from_hex(digits: &[u8]) -> Option<Self> {
        let id = digits.try_into().ok().map(Self)?;
        (is_hex(digits) && !is_zero(digits)).then_some(id)
    }

    /// Creates a random id. Its last seven bytes are random, as the random flag demands.
    #[cfg(feature = "request-id")]
    pub(crate) fn random() -> Self {
        // The variant of the UUID is in the eighth byte from the end.
        let mut digits = [b'0'; 32];
        super::hex::write(uuid::Uuid::new_v4().as_bytes(), &mut digits);
        Self(digits)
    }

    /// Returns the 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes the digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
