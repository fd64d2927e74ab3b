//! A request's way to the origin of a stage.

use std::{fmt, sync::Arc, time::Duration};

use http::Request;

use super::{
    stage::Stage,
    token::{Acquired, Refreshed, Token, TokenSource},
    tokens::NoToken,
};
use crate::{context::RequestContext, fetch::Waiter};

/// A stage with the source of one request's token.
///
/// The token leaves the stage in one step only: together with the redirection to the stage's origin.
#[derive(Clone, Debug)]
pub(crate) struct StageAccess {
    stage: Stage,
    source: TokenSource,
}

/// The token that a request carries.
#[derive(Clone)]
pub(crate) struct SentToken(Arc<Token>);

/// The outcome of directing a request.
pub(crate) enum Directed {
    /// The request goes to the origin and carries its token.
    Sent(SentToken),
    /// The request is unchanged. It waits for the token and is then directed by
    /// [`direct_at_once`](StageAccess::direct_at_once).
    Wait(TokenWait),
    /// The request is unchanged, and there is no token for it.
    Unavailable { retry_after: Duration },
    /// The target of the request has no path.
    NoPath,
}

/// The outcome of a look for another token.
pub(crate) enum Replacement {
    /// There is another token.
    Found,
    /// A fetch runs. The request looks once more after it.
    Wait(TokenWait),
    /// There is no other token.
    None,
}

/// The wait for a fetch that all requests share.
pub(crate) type TokenWait = Waiter<()>;

impl StageAccess {
    /// Chooses the token of the request, whose path must be the one that the stage's profile knows.
    pub(crate) fn of<B: 'static>(
        stage: &Stage,
        request: &Request<B>,
        context: &RequestContext,
    ) -> Result<Self, NoToken> {
        let source = stage.source(request, context)?.clone();
        Ok(Self { stage: stage.clone(), source })
    }

    pub(crate) const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether another token can follow one that the upstream rejected.
    pub(crate) const fn can_refresh(&self) -> bool {
        self.source.can_refresh()
    }

    /// Points the request at the origin and attaches the token, or starts to wait for the token.
    pub(crate) fn direct<B>(&self, request: &mut Request<B>) -> Directed {
        self.directed(request, self.source.acquire())
    }

    /// Points the request at the origin and attaches the token that is there.
    pub(crate) fn direct_at_once<B>(&self, request: &mut Request<B>) -> Directed {
        self.directed(request, self.source.acquire_at_once())
    }

    fn directed<B>(&self, request: &mut Request<B>, acquired: Acquired) -> Directed {
        match acquired {
            Acquired::Token(token) => match self.stage.direct(request, &token) {
                Some(()) => Directed::Sent(SentToken(token)),
                None => Directed::NoPath,
            },
            Acquired::Wait(wait) => Directed::Wait(wait),
            Acquired::Unavailable { retry_after } => Directed::Unavailable { retry_after },
        }
    }

    /// Looks for the token that replaces `rejected`. One look serves all requests.
    pub(crate) fn replace(&self, rejected: &SentToken) -> Replacement {
        match self.source.refresh(&rejected.0) {
            Refreshed::Changed => Replacement::Found,
            Refreshed::Wait(wait) => Replacement::Wait(wait),
            Refreshed::Unchanged => Replacement::None,
        }
    }
}

impl SentToken {
    /// Notes that the upstream has served a request with the token.
    pub(crate) fn accept(&self) {
        self.0.accept();
    }
}

impl fmt::Debug for SentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentToken(..)")
    }
}
