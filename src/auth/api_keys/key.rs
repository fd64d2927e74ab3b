use std::{error::Error, fmt};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{
    checksum::{CHECKSUM_DIGITS, checksum, random_digit},
    digest::ApiKeyDigest,
};
use crate::{error_debug::debug_as_message, secret::Secret};

/// The shortest key of API Gateway. 20 random letters and digits have 119 bits.
const MIN_BYTES: usize = 20;

/// The longest key. API Gateway's have at most 128 characters.
pub(super) const MAX_BYTES: usize = 256;

/// The random digits of a generated key.
const RANDOM_DIGITS: usize = 30;

const MAX_PREFIX_BYTES: usize = 20;

/// An API key.
///
/// It is wiped on drop and `Debug` does not print it.
///
/// ```
/// use tower_inference::auth::{ApiKey, ApiKeyForm};
///
/// let key = ApiKey::generate("acme")?;
/// // Hand this to the client and keep the digest.
/// let (text, digest) = (key.expose(), key.digest());
/// assert_eq!(text.len(), "acme_".len() + 36);
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
///
/// assert_eq!(ApiKey::form(text, "acme"), ApiKeyForm::Generated);
/// assert_eq!(ApiKey::form(&text[..40], "acme"), ApiKeyForm::Mistyped);
/// assert_eq!(ApiKey::form("another-key", "acme"), ApiKeyForm::Other);
/// # let _ = digest;
/// # Ok::<(), tower_inference::auth::ApiKeyError>(())
/// ```
///
/// # Generated keys
///
/// A generated key is the prefix, `_`, 30 random digits of base 62 and a checksum of 6 digits. Its
/// 178 bits of randomness come from the operating system. The checksum is the CRC-32 of all text before
/// it, in base 62 with the digits `0-9A-Za-z`. A scanner of repositories finds leaked keys by
/// `acme_[0-9A-Za-z]{36}` and skips other text by the checksum.
#[derive(Clone)]
pub struct ApiKey(Secret);

/// The form of a key. See [`ApiKey::form`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ApiKeyForm {
    /// The key has the prefix and a valid checksum.
    Generated,
    /// The key has the prefix. Its length, its characters or its checksum are wrong: it was cut or
    /// mistyped.
    Mistyped,
    /// The key does not have the prefix.
    Other,
}

impl ApiKey {
    /// Generates a key with a prefix, `_`, 178 random bits and a checksum.
    ///
    /// The prefix names the service, so that people and scanners recognise a leaked key. Fails if the
    /// prefix is not 1 to 20 ASCII letters, digits and `_`, with a letter first and no `_` last. Fails
    /// if the operating system has no randomness.
    pub fn generate(prefix: &str) -> Result<Self, ApiKeyError> {
        if !is_prefix(prefix) {
            return Err(ApiKeyError::InvalidPrefix);
        }
        let length = prefix.len() + 1 + RANDOM_DIGITS + CHECKSUM_DIGITS;
        let mut key = Zeroizing::new(String::with_capacity(length));
        key.push_str(prefix);
        key.push('_');
        let end = length - CHECKSUM_DIGITS;
        let mut random = Zeroizing::new([0; RANDOM_DIGITS]);
        while key.len() < end {
            rand::fill(&mut *random).map_err(|_| ApiKeyError::NoRandomness)?;
            let missing = end - key.len();
            key.extend(random.iter().filter_map(|byte| random_digit(*byte)).take(missing));
        }
        let sum = checksum(key.as_bytes());
        key.extend(sum.map(char::from));
        Ok(Self(Secret::new(std::mem::take(&mut *key))))
    }

    /// Takes over a key that exists elsewhere.
    ///
    /// Fails if it is not 20 to 256 visible ASCII characters.
    pub fn new(key: impl Into<String>) -> Result<Self, ApiKeyError> {
        let key = Self::dangerous_weak(key)?;
        if key.expose().len() < MIN_BYTES { Err(ApiKeyError::TooShort) } else { Ok(key) }
    }

    /// Takes over a key of any length up to 256 characters.
    ///
    /// A short key can be guessed, and its digest can be reversed.
    pub fn dangerous_weak(key: impl Into<String>) -> Result<Self, ApiKeyError> {
        let key = Secret::new(key);
        let text = key.expose();
        if text.len() > MAX_BYTES {
            return Err(ApiKeyError::TooLong);
        }
        if text.is_empty() {
            return Err(ApiKeyError::TooShort);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::InvalidCharacter);
        }
        Ok(Self(key))
    }

    /// Returns whether a key has the form of the keys that [`generate`](Self::generate) makes with
    /// `prefix`.
    ///
    /// It tells the operator whether an unknown key was mistyped. It says nothing about validity.
    #[must_use]
    pub fn form(key: &str, prefix: &str) -> ApiKeyForm {
        let digits = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
        let Some(digits) = digits else { return ApiKeyForm::Other };
        let whole = digits.len() == RANDOM_DIGITS + CHECKSUM_DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let valid = whole
            && key
                .as_bytes()
                .split_last_chunk::<CHECKSUM_DIGITS>()
                .is_some_and(|(text, sum)| checksum(text) == *sum);
        if valid { ApiKeyForm::Generated } else { ApiKeyForm::Mistyped }
    }

    /// Returns the key. The name makes each place that reads a key easy to find.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns the digest of the key, which is what a store keeps.
    #[must_use]
    pub fn digest(&self) -> ApiKeyDigest {
        ApiKeyDigest::of(self.expose().as_bytes())
    }
}

/// Returns whether text may stand before the `_` of a generated key.
pub(super) fn is_prefix(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_PREFIX_BYTES
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last() != Some(&b'_')
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

impl From<&ApiKey> for ApiKeyDigest {
    fn from(key: &ApiKey) -> Self {
        key.digest()
    }
}

impl From<ApiKey> for ApiKeyDigest {
    fn from(key: ApiKey) -> Self {
        key.digest()
    }
}

/// The reason that a key cannot be made or taken over. It never has the key.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// Returned when the prefix is not 1 to 20 ASCII letters, digits and `_`, with a letter first and
    /// no `_` last.
    InvalidPrefix,
    /// Returned when a key has fewer than 20 characters.
    TooShort,
    /// Returned when a key has more than 256 characters.
    TooLong,
    /// Returned when a key has a space, a control character or a character outside of ASCII.
    InvalidCharacter,
    /// Returned when the operating system has no randomness.
    NoRandomness,
}

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidPrefix => {
                "expected a prefix of 1 to 20 ASCII letters, digits and `_`, with a letter first and \
                 no `_` last"
            }
            Self::TooShort => {
                "the key has fewer than 20 characters and can be guessed: use ApiKey::generate, or \
                 allow it with dangerous_weak_keys or ApiKey::dangerous_weak"
            }
            Self::TooLong => "the key has more than 256 characters",
            Self::InvalidCharacter => {
                "the key has a space, a control character or a character outside of ASCII"
            }
            Self::NoRandomness => "the operating system has no randomness",
        })
    }
}

debug_as_message!(ApiKeyError);

impl Error for ApiKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_differ_and_have_the_form() {
        let keys: Vec<_> = (0..200).map(|_| ApiKey::generate("a_1").unwrap()).collect();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(ApiKey::form(key.expose(), "a_1"), ApiKeyForm::Generated);
            assert_eq!(ApiKey::form(key.expose(), "a"), ApiKeyForm::Mistyped);
            assert_eq!(ApiKey::form(key.expose(), "b"), ApiKeyForm::Other);
            assert!(ApiKey::new(key.expose()).is_ok());
            assert!(keys[..index].iter().all(|other| other.expose() != key.expose()));
        }
    }

    #[test]
    fn one_wrong_character_is_a_mistyped_key() {
        let key = ApiKey::generate("acme").unwrap();
        let text = key.expose();
        for index in "acme_".len()..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[index] = if wrong[index] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(ApiKey::form(&wrong, "acme"), ApiKeyForm::Mistyped, "{index}");
        }
        for wrong in ["acme_", &text[..text.len() - 1], &format!("{text}0")] {
            assert_eq!(ApiKey::form(wrong, "acme"), ApiKeyForm::Mistyped);
        }
        assert_eq!(ApiKey::form("acme", "acme"), ApiKeyForm::Other);
    }

    #[test]
    fn prefix_is_a_word() {
        for good in ["a", "acme", "ACME_live", "a1", &"a".repeat(20)] {
            assert!(ApiKey::generate(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "a_", "1a", "a-b", "a b", "é", &"a".repeat(21)] {
            assert_eq!(ApiKey::generate(bad).unwrap_err(), ApiKeyError::InvalidPrefix, "{bad}");
        }
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let new = |key: &str| ApiKey::new(key).err();
        assert_eq!(new(&"a".repeat(19)), Some(ApiKeyError::TooShort));
        assert_eq!(new(&"a".repeat(20)), None);
        assert_eq!(new(&"a".repeat(256)), None);
        assert_eq!(new(&"a".repeat(257)), Some(ApiKeyError::TooLong));
        for bad in ["0123456789 0123456789", "0123456789\n0123456789", "0123456789é0123456789"] {
            assert_eq!(new(bad), Some(ApiKeyError::InvalidCharacter));
        }
        assert!(ApiKey::dangerous_weak("test").is_ok());
        assert_eq!(ApiKey::dangerous_weak("").unwrap_err(), ApiKeyError::TooShort);
    }
}
