use std::{
    fmt,
    hash::{Hash, Hasher},
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};

/// The digits of a digest that name its key in public.
const PUBLIC_DIGITS: usize = 16;

/// The SHA-256 digest of an API key.
///
/// A key has so much randomness that nobody finds it by its digest. A file of digests is therefore no
/// file of keys. `printf %s "$KEY" | sha256sum` prints the same.
///
/// ```
/// use tower_inference::auth::{ApiKey, ApiKeyDigest};
///
/// let key = ApiKey::new("0123456789abcdefghij")?;
/// let digest: ApiKeyDigest = key.digest();
/// assert_eq!(
///     digest.to_string(),
///     "6bc14bdc4517a7a682c6910de2e2946eb8e1ecd04090728fef6d092a7ceb62c5",
/// );
/// assert_eq!(ApiKeyDigest::from_hex(&digest.to_string()), Some(digest));
/// assert_eq!(digest.public_id(), "6bc14bdc4517a7a6");
/// # Ok::<(), tower_inference::auth::ApiKeyError>(())
/// ```
#[derive(Clone, Copy, Eq)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// Returns the digest of a key as a request has it.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits. `None` if the text is anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        let digit = |byte: u8| char::from(byte).to_digit(16);
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// Returns the bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits, which name the key in logs.
    ///
    /// It is the [credential id](crate::identity::Identity::credential_id) of an identity.
    #[must_use]
    pub fn public_id(&self) -> String {
        let mut id = self.to_string();
        id.truncate(PUBLIC_DIGITS);
        id
    }
}

/// Compares in constant time. The time of a comparison tells nothing about a stored digest.
impl PartialEq for ApiKeyDigest {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Hash for ApiKeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Writes 64 hexadecimal digits.
impl fmt::Display for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Shows the public id alone.
impl fmt::Debug for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyDigest({}..)", self.public_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_64_digits_of_either_case() {
        let digest = ApiKeyDigest::of(b"key");
        let hex = digest.to_string();
        assert_eq!(ApiKeyDigest::from_hex(&hex), Some(digest));
        assert_eq!(ApiKeyDigest::from_hex(&hex.to_uppercase()), Some(digest));
        for bad in ["", &hex[1..], &format!("{hex}0"), &format!("{}g", &hex[1..]), &"é".repeat(32)]
        {
            assert_eq!(ApiKeyDigest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn digests_differ_in_each_byte() {
        let digest = ApiKeyDigest::of(b"key");
        for index in 0..32 {
            let mut other = digest;
            other.0[index] ^= 1;
            assert_ne!(digest, other);
        }
    }
}
