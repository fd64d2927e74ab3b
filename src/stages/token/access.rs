//! The outcomes of a request for a token.

use std::{sync::Arc, time::Duration};

use super::value::Token;
use crate::fetch::Waiter;

/// The time after a refresh without a new token in which no further refresh starts.
pub(super) const UNCHANGED_COOL_DOWN: Duration = Duration::from_secs(30);

/// The stage that a source belongs to, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) stage: Arc<str>,
    pub(crate) upstream: Arc<str>,
}

/// The token of a source at this moment.
pub(crate) enum Acquired {
    Token(Arc<Token>),
    /// Ends with the fetch. The source then has a token or is unavailable.
    Wait(Waiter<()>),
    Unavailable {
        retry_after: Duration,
    },
}

/// The outcome of a look for the token that replaces a rejected one.
pub(crate) enum Refreshed {
    /// Another token.
    Changed,
    /// Ends with the fetch. The request then looks once more.
    Wait(Waiter<()>),
    /// The same token, and no fetch now.
    Unchanged,
}
