use std::fmt;

/// Why there is no store: the address cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RedisError {
    /// It is not `redis://…` or `rediss://…`.
    Address,
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the address of the redis server cannot be read",
        })
    }
}

impl std::error::Error for RedisError {}
