use std::fmt;

/// Why what is kept in Redis or Valkey cannot be: its address, or its certificates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RedisError {
    /// An address cannot be read, is not one of TCP, or there is none.
    Address,
    /// An address turns off the check of the server's name (`#insecure`).
    Insecure,
    /// The certificates cannot be read as PEM, or there are none.
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
