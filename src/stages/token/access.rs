//! The outcomes of a request for a token.

use std::{sync::Arc, time::Duration};

use super::value::Token;
use crate::fetch::Waiter;

/// The stage that a source belongs to, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) stage: Arc<str>,
    pub(crate) upstream: Arc<str>,
}

/// The wait for a fetch that all requests share.
pub(crate) type TokenWait = Waiter<()>;

/// The token of a source at this moment.
pub(crate) enum Acquired {
    Token(Arc<Token>),
    /// Ends with the fetch. The source then has a token or is unavailable.
    Wait(TokenWait),
}

/// A source without a token.
pub(crate) struct Unavailable {
    pub(crate) retry_after: Duration,
}

/// The outcome of a look for the token that replaces a rejected one.
pub(crate) enum Refreshed {
    /// Another token.
    Changed,
    /// Ends with the fetch. The request then looks once more.
    Wait(TokenWait),
    /// The same token, and no fetch now.
    Unchanged,
}
