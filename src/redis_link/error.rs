use std::fmt;

/// Why a Redis or Valkey store cannot be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RedisError {
    /// There is no address or an address is not a valid TCP address.
    Address,
    /// An address turns off the check of the server's name (`#insecure`).
    Insecure,
    /// The PEM text has no certificate or one that cannot be read.
    Certificate,
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the address of the redis server cannot be read",
            Self::Insecure => "the address turns off the check of the server's name",
            Self::Certificate => "the certificates cannot be read",
        })
    }
}

impl std::error::Error for RedisError {}
