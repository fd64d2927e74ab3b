//! A request's way to the origin of a stage.

use std::{fmt, sync::Arc, time::Duration};

use http::Request;

use super::{
    stage::Stage,
    token::{Acquired, Refreshed, Token, TokenSource, TokenWait, Unavailable},
    tokens::NoToken,
};
use crate::context::RequestContext;

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
}

/// The reason why a request is not directed. The request is unchanged.
pub(crate) enum NotDirected {
    /// There is no token for it.
    Unavailable { retry_after: Duration },
    /// The target of the request has no path.
    NoPath,
}

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
    pub(crate) fn direct<B>(&self, request: &mut Request<B>) -> Result<Directed, NotDirected> {
        match self.source.acquire()? {
            Acquired::Token(token) => self.attach(request, token).map(Directed::Sent),
            Acquired::Wait(wait) => Ok(Directed::Wait(wait)),
        }
    }

    /// Points the request at the origin and attaches the token that is there.
    pub(crate) fn direct_at_once<B>(
        &self,
        request: &mut Request<B>,
    ) -> Result<SentToken, NotDirected> {
        self.attach(request, self.source.acquire_at_once()?)
    }

    fn attach<B>(
        &self,
        request: &mut Request<B>,
        token: Arc<Token>,
    ) -> Result<SentToken, NotDirected> {
        self.stage.direct(request, &token).ok_or(NotDirected::NoPath)?;
        Ok(SentToken(token))
    }

    /// Looks for the token that replaces `rejected`. One look serves all requests.
    pub(crate) fn refresh(&self, rejected: &SentToken) -> Refreshed {
        self.source.refresh(&rejected.0)
    }

    /// Returns the stage for the response.
    pub(crate) fn into_stage(self) -> Stage {
        self.stage
    }
}

impl From<Unavailable> for NotDirected {
    fn from(Unavailable { retry_after }: Unavailable) -> Self {
        Self::Unavailable { retry_after }
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
