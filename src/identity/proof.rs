/// How an identity was proved.
///
/// The proof is part of the principal. The same subject proved in two ways is two principals.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Proof {
    /// A signed JSON Web Token.
    Jwt,
    /// An API key.
    ApiKey,
    /// An AWS Signature Version 4, or a role that AWS STS has confirmed.
    AwsIam,
    /// An opaque token that its issuer has confirmed (RFC 7662).
    Introspection,
    /// None. The layer lets callers without credentials pass under this name.
    Anonymous,
    /// Another proof with a stable name.
    Other(&'static str),
}

impl Proof {
    /// Returns a short stable name for logs and keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api-key",
            Self::AwsIam => "aws-iam",
            Self::Introspection => "introspection",
            Self::Anonymous => "anonymous",
            Self::Other(name) => name,
        }
    }
}
