//! The key that signs checkpoints and its public half.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::error::{AuditError, AuditFault, EXPECTED_KEY};
use crate::{
    secret_file::{FileRules, read_once},
    sha256::Digest,
};

const EXPECTED_PUBLIC: &str = "expected an Ed25519 public key as 64 hexadecimal digits or as the PEM \
                               of `openssl pkey -in audit.key -pubout`";

/// A key of PKCS#8 has at most 85 bytes, and 200 as PEM.
const MAX_KEY_BYTES: usize = 4_096;

/// The start of a `SubjectPublicKeyInfo` of Ed25519 (RFC 8410 section 4) before the 32 bytes.
const SPKI_START: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The Ed25519 key that signs the checkpoints of a trail.
///
/// Keep it from everybody who may want to change the trail. Verifiers need
/// [`AuditKey::public_key`] only. Make a key with openssl, which creates a file that only its owner
/// can read:
///
/// ```text
/// openssl genpkey -algorithm ed25519 -out audit.key
/// ```
///
/// ```
/// use tower_inference::audit::AuditKey;
///
/// let key = AuditKey::from_bytes(&[7; 32])?;
/// assert!(key.public_key().to_string().starts_with("ea4a6c63e29c520abef5507b132ec5f9"));
/// # Ok::<(), tower_inference::audit::AuditError>(())
/// ```
#[derive(Clone)]
pub struct AuditKey {
    pair: Arc<Ed25519KeyPair>,
}

impl AuditKey {
    /// Reads a key from a file: PKCS#8 as PEM or DER, a seed of 32 bytes or its hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or has no such key. On Unix it also returns an
    /// error if every user can read the file, or if its group or others can write it. Its group may
    /// read it, because that is how Kubernetes mounts secrets.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, AuditError> {
        let path = path.as_ref();
        let at = |fault| AuditError::at(fault, path.display());
        let rules = FileRules::new("audit key file", MAX_KEY_BYTES);
        let (bytes, readable_by_others) =
            read_once(path, rules).map_err(|fault| at(fault.into()))?;
        if readable_by_others {
            return Err(at(AuditFault::KeyReadable));
        }
        Self::from_bytes(&bytes).map_err(|error| at(error.fault))
    }

    /// Reads a key from the bytes of such a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a key of Ed25519.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AuditError> {
        let malformed = || AuditError::new(AuditFault::MalformedKey(EXPECTED_KEY));
        let text = bytes.trim_ascii();
        let pair = if bytes.len() == 32 {
            Ed25519KeyPair::from_seed_unchecked(bytes)
        } else if let Some(seed) = Digest::from_hex(text) {
            Ed25519KeyPair::from_seed_unchecked(&*Zeroizing::new(*seed.bytes()))
        } else if let Some(der) = pem(text, "PRIVATE KEY") {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
        } else {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
        };
        Ok(Self { pair: Arc::new(pair.map_err(|_| malformed())?) })
    }

    /// Returns the public key, which verifies the checkpoints.
    #[must_use]
    pub fn public_key(&self) -> AuditPublicKey {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        AuditPublicKey { bytes }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        let signature = self.pair.sign(message);
        bytes.iter_mut().zip(signature.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// Without the private key.
impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// The public half of an [`AuditKey`].
///
/// It prints as 64 hexadecimal digits and is parsed from them or from the PEM that
/// `openssl pkey -in audit.key -pubout` prints.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct AuditPublicKey {
    bytes: [u8; 32],
}

impl AuditPublicKey {
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }
}

impl FromStr for AuditPublicKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let text = text.trim().as_bytes();
        let of_pem = || {
            let der = pem(text, "PUBLIC KEY")?;
            der.strip_prefix(&SPKI_START)?.try_into().ok()
        };
        let bytes = Digest::from_hex(text).map(|bytes| *bytes.bytes()).or_else(of_pem);
        let malformed = AuditError::new(AuditFault::MalformedKey(EXPECTED_PUBLIC));
        Ok(Self { bytes: bytes.ok_or(malformed)? })
    }
}

impl fmt::Display for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Decodes a text with this label (RFC 7468 section 2).
fn pem(text: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = str::from_utf8(text).ok()?;
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let body: Zeroizing<Vec<u8>> =
        Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    STANDARD.decode(&*body).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8410 section 10.3 and RFC 8032 section 7.1, test 1.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                       -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
                          MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                          -----END PUBLIC KEY-----\n";
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    #[test]
    fn each_form_of_a_key_is_read() {
        let public: AuditPublicKey = PUBLIC.parse().unwrap();
        assert_eq!(AuditKey::from_bytes(PEM.as_bytes()).unwrap().public_key(), public);
        assert_eq!(public.to_string().parse::<AuditPublicKey>().unwrap(), public);
        let der = pem(PEM.trim().as_bytes(), "PRIVATE KEY").unwrap();
        assert_eq!(AuditKey::from_bytes(&der).unwrap().public_key(), public);

        let expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let seed = Digest::from_hex(SEED.as_bytes()).unwrap();
        for form in [seed.bytes().to_vec(), SEED.into(), format!("{SEED}\n").into_bytes()] {
            let key = AuditKey::from_bytes(&form).unwrap();
            assert_eq!(key.public_key().to_string(), expected);
            assert!(key.public_key().verifies(b"text", &key.sign(b"text")));
            assert!(!key.public_key().verifies(b"other", &key.sign(b"text")));
        }
    }

    #[test]
    fn other_bytes_are_no_key_and_no_output_shows_one() {
        for bytes in [&b""[..], b"secret-secret", &[1; 31], &[1; 33], PUBLIC.as_bytes()] {
            let error = AuditKey::from_bytes(bytes).unwrap_err();
            assert!(error.to_string().starts_with("it is not a key; expected"), "{error}");
            assert!(!error.to_string().contains("secret-secret"));
        }
        assert!(PEM.parse::<AuditPublicKey>().is_err());
        let shown = format!("{:?}", AuditKey::from_bytes(SEED.as_bytes()).unwrap());
        assert!(shown.contains("d75a98") && !shown.contains("9d61b1"), "{shown}");
    }
}
