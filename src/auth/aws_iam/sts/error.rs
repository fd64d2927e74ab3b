use std::{error::Error, fmt};

use crate::error_debug::debug_as_message;

/// The reason that a setting of [`StsIdentity`](super::StsIdentity) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum StsError {
    /// The server id is not 1 to 255 visible ASCII characters.
    InvalidServerId,
    /// The name of the server's header does not start with `x-`, or AWS uses it.
    InvalidHeader,
    /// No account is given.
    NoAccounts,
    /// This account is not twelve digits with or without a partition in front.
    InvalidAccount(Box<str>),
    /// This region has another form than `us-east-1`.
    InvalidRegion(Box<str>),
    /// The endpoint is not an address of this machine.
    InvalidEndpoint,
}

impl fmt::Display for StsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidServerId => f.write_str(
                "a server id has 1 to 255 visible ASCII characters: take the host of the gateway",
            ),
            Self::InvalidHeader => {
                f.write_str("the header of the server id must start with `x-` and not with `x-amz-`")
            }
            Self::NoAccounts => f.write_str("name at least one AWS account that may call"),
            Self::InvalidAccount(account) => write!(
                f,
                "{account:?} is no AWS account: write twelve digits, with `aws-cn:` or `aws-us-gov:` \
                 in front in these partitions"
            ),
            Self::InvalidRegion(region) => {
                write!(f, "{region:?} is no AWS region: write it as `us-east-1`")
            }
            Self::InvalidEndpoint => f.write_str(
                "an STS endpoint of your own is for tests: write an address of this machine such as \
                 `http://127.0.0.1:5000`",
            ),
        }
    }
}

debug_as_message!(StsError);

impl Error for StsError {}
