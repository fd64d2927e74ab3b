//! Tokens from AWS by its own SDK.

mod connection;
mod fault;
mod secret;
mod web_identity;

pub use self::{secret::AwsSecret, web_identity::AwsWebIdentity};
