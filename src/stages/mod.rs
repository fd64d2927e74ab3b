//! Where requests go: the origin, the token and the profile of each stage.

mod origin;
mod query;
mod stage;
mod token;

#[cfg(feature = "aws")]
pub use self::token::AwsSecret;
pub use self::{
    origin::{Origin, OriginError},
    stage::Stage,
    token::{FetchedToken, TokenError, TokenFault, TokenSource},
};
