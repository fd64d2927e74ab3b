use std::fmt;

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, EdDSAParameters, RsaParameters};

/// A signature algorithm of RFC 7518 section 3.1, or `EdDSA` of RFC 8037.
///
/// `EdDSA` is also called `Ed25519` (RFC 9864 section 2.2). Tokens and keys may use either name. A key
/// with one of them verifies tokens with the other, because both mean the same algorithm.
///
/// `none` and the symmetric algorithms do not exist here. A token can therefore never use a public
/// key as a shared secret.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// `RS384`: RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// `RS512`: RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// `PS256`: RSASSA-PSS with SHA-256.
    Ps256,
    /// `PS384`: RSASSA-PSS with SHA-384.
    Ps384,
    /// `PS512`: RSASSA-PSS with SHA-512.
    Ps512,
    /// `ES256`: ECDSA on P-256 with SHA-256.
    Es256,
    /// `ES384`: ECDSA on P-384 with SHA-384.
    Es384,
    /// `ES512`: ECDSA on P-521 with SHA-512.
    Es512,
    /// `EdDSA` or `Ed25519`: EdDSA with Ed25519. Ed448 is not supported.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: &'static [Self] = &[
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// Returns the value of `alg` in a token. `EdDSA` for both of its names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let own = Self::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name);
        own.or_else(|| (name == "Ed25519").then_some(Self::EdDsa))
    }

    /// Returns the key type and its verification parameters.
    pub(super) const fn scheme(self) -> SignatureScheme {
        match self {
            Self::Rs256 => SignatureScheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => SignatureScheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => SignatureScheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => SignatureScheme::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => SignatureScheme::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => SignatureScheme::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Self::Es256 => SignatureScheme::P256(&signature::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => SignatureScheme::P384(&signature::ECDSA_P384_SHA384_FIXED),
            Self::Es512 => SignatureScheme::P521(&signature::ECDSA_P521_SHA512_FIXED),
            Self::EdDsa => SignatureScheme::Ed25519(&signature::ED25519),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key type and its verification parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum SignatureScheme {
    Rsa(&'static RsaParameters),
    P256(&'static EcdsaVerificationAlgorithm),
    P384(&'static EcdsaVerificationAlgorithm),
    P521(&'static EcdsaVerificationAlgorithm),
    Ed25519(&'static EdDSAParameters),
}
