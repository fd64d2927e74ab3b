//! SHA-256 digests, their hexadecimal form and HMAC (FIPS 180-4, RFC 2104).

use aws_lc_rs::digest;
#[cfg(feature = "auth")]
use aws_lc_rs::{
    constant_time,
    hmac::{self, HMAC_SHA256},
};

/// A SHA-256 digest or an HMAC-SHA-256.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    #[cfg(feature = "auth")]
    /// The digest of no bytes.
    pub(crate) const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// No digest of anything.
    #[cfg(feature = "audit")]
    pub(crate) const ZERO: Self = Self([0; 32]);

    #[cfg(feature = "audit")]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(data);
        hasher.finish()
    }

    #[cfg(feature = "auth")]
    /// Returns the HMAC of `data`.
    pub(crate) fn hmac(key: &[u8], data: &[u8]) -> Self {
        Self::copied(hmac::sign(&hmac::Key::new(HMAC_SHA256, key), data).as_ref())
    }

    /// Parses 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &[u8]) -> Option<Self> {
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns 64 lower-case hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    #[cfg(feature = "auth")]
    /// Compares in a time that does not depend on the bytes.
    pub(crate) fn is(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn copied(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(digest)
    }
}

/// Computes a SHA-256 digest of pieces.
#[derive(Clone)]
pub(crate) struct Hasher(digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hasher {
    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::copied(self.0.finish().as_ref())
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_strict() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::from_hex(text.as_bytes()), Some(Digest::EMPTY));
        assert_eq!(Digest::from_hex(text.to_uppercase().as_bytes()), Some(Digest::EMPTY));
        assert_eq!((Digest::of(b""), Digest::EMPTY.to_hex()), (Digest::EMPTY, text.to_owned()));
        for bad in ["", "e3", &text[1..], &format!("{text}00"), &text.replace('e', "g")] {
            assert_eq!(Digest::from_hex(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn hmac_matches_rfc_4231() {
        let mac = Digest::hmac(b"Jefe", b"what do ya want for nothing?");
        assert!(mac.to_hex().starts_with("5bdcc146bf60754e6a042426089575c75a003f089d273983"));
        assert!(mac.is(&mac) && !mac.is(&Digest::EMPTY));
    }
}
