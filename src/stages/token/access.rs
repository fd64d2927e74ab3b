//! The outcomes of a request for a token.

use std::{sync::Arc, time::Duration};

use super::value::Token;
use crate::fetch::Waiter;

/// The time after a refresh without a new token in which no further refresh starts.
pub(super) const UNCHANGED_COOL_DOWN: Duration = Duration::from_secs(30);

/// The stage that a source belongs to, for the log.
#[derive(Clone, Debug)]
pub(in crate::stages) struct Owner {
    pub(in crate::stages) stage: Arc<str>,
    pub(in crate::stages) upstream: Arc<str>,
}

/// The token of a source at this moment.
pub(in crate::stages) enum Acquired {
    Token(Arc<Token>),
    /// Ends with the fetch. The source then has a token or is unavailable.
    Wait(Waiter<()>),
    Unavailable {
        retry_after: Duration,
    },
}

/// What a source has instead of a token that the upstream rejected.
pub(in crate::stages) enum Refreshed {
    /// Another token.
    Changed,
    /// Ends with the fetch. The request then looks once more.
    Wait(Waiter<()>),
    /// The same token, and no fetch now.
    Unchanged,
}
