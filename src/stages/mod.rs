//! Where requests go: the origin, the token and the profile of each stage.

mod access;
mod origin;
mod query;
mod stage;
mod token;
mod tokens;

#[cfg(feature = "aws")]
pub use self::token::{AwsSecret, AwsWebIdentity};
pub(crate) use self::{
    access::{Directed, NotDirected, SentToken, StageAccess},
    token::{Refreshed, TokenWait},
    tokens::NoToken,
};
pub use self::{
    origin::{Origin, OriginError},
    stage::Stage,
    token::{
        FetchedToken, SubjectToken, TokenError, TokenExchange, TokenExchangeError, TokenFault,
        TokenSource,
    },
    tokens::{ModelTokens, TenantTokens, Tokens},
};
