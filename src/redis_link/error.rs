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
            Self::Address => {
                "expected an address of the form redis://host[:port][/db] or rediss://…"
            }
            Self::Insecure => {
                "the address must not turn off the check of the server's name; remove `#insecure`"
            }
            Self::Certificate => "expected certificates in PEM",
        })
    }
}

impl std::error::Error for RedisError {}
