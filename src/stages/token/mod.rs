#[cfg(feature = "aws")]
mod aws;
mod file;
mod source;
mod value;

#[cfg(feature = "aws")]
pub use self::aws::{AwsSecret, AwsWebIdentity};
pub use self::{
    source::TokenSource,
    value::{TokenError, TokenFault},
};
