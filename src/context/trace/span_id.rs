use std::fmt;

use super::hex::{is_hex, is_zero};

/// A span id of W3C Trace Context, which calls it `parent-id`: 16 lowercase hexadecimal digits that
/// are not all zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SpanId([u8; 16]);

impl SpanId {
    /// Returns the id of these digits. Returns `None` when they do not have the form of section
    /// 3.2.2.4.
    #[must_use]
    pub fn from_hex(digits: &[u8]) -> Option<Self> {
        let id = digits.try_into().ok().map(Self)?;
        (is_hex(digits) && !is_zero(digits)).then_some(id)
    }

    /// Creates a random id.
    #[cfg(feature = "request-id")]
    pub(crate) fn random() -> Self {
        // The bytes between hold the version and the variant of the UUID.
        let random = uuid::Uuid::new_v4().into_bytes();
        let [a, b, c, d, e, f, _, _, _, g, h, ..] = random;
        let mut digits = [b'0'; 16];
        super::hex::write(&[a, b, c, d, e, f, g, h], &mut digits);
        Self::from_hex(&digits).unwrap_or(Self(*b"0000000000000001"))
    }

    /// Returns the 16 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes the digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
