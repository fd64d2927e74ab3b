use std::fmt;

use crate::error_debug::debug_as_message;

/// Why a Redis or Valkey store cannot be built.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum RedisError {
    /// There is no address or an address is not a valid TCP address, for this reason.
    Address(&'static str),
    /// An address turns off the check of the server's name (`#insecure`).
    Insecure,
    /// The PEM text has no certificate or one that cannot be read, for this reason.
    Certificate(&'static str),
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(reason) => {
                write!(f, "the address of the Redis server cannot be used: {reason}")
            }
            Self::Insecure => f.write_str(
                "the address turns off the check of the server's name; remove `#insecure` and trust \
                 a private authority with root_certificates",
            ),
            Self::Certificate(reason) => {
                write!(f, "the root certificates cannot be used: {reason}")
            }
        }
    }
}

debug_as_message!(RedisError);

impl std::error::Error for RedisError {}
