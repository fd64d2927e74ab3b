//! Tokens from AWS by its own SDK.

mod connection;
mod fault;
mod secret;

pub use self::secret::AwsSecret;
