//! What a token needs beside being active.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use super::response::ActiveToken;
use crate::{
    auth::{
        failure::Failure,
        token::{ClaimMapping, ClaimReader, ClaimsError, OneOrMany, TokenClaims},
    },
    identity::{Identity, Proof},
    rejection::{Refusal, Rejection},
};

/// The requirements for an active token of one issuer.
pub(super) struct Requirements {
    pub(super) issuer: Box<str>,
    /// `None` accepts any audience.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) scopes: Vec<Box<str>>,
    pub(super) mapping: ClaimMapping,
    pub(super) leeway: Duration,
}

/// A token that meets the requirements.
pub(super) struct Accepted {
    pub(super) identity: Identity,
    /// The time since 1970 at which the token is no longer accepted.
    pub(super) until: Option<Duration>,
}

/// Why an active token is rejected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    Issuer {
        received: String,
    },
    Audience {
        received: Vec<String>,
    },
    /// A member in words, for the client too.
    Member(String),
    Expired,
    MissingScope(Box<str>),
}

/// Tells the operator why.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer { .. } => f.write_str("another issuer"),
            Self::Audience { .. } => f.write_str("another audience"),
            Self::Member(reason) => f.write_str(reason),
            Self::Expired => f.write_str("it has expired"),
            Self::MissingScope(scope) => write!(f, "missing scope `{scope}`"),
        }
    }
}

impl Requirements {
    /// Checks a token at `now` since 1970.
    pub(super) fn check(&self, token: ActiveToken, now: Duration) -> Result<Accepted, Refused> {
        let claims = TokenClaims::parse(&token.claims).map_err(wrong_type)?;
        self.check_origin(&claims)?;
        // A bound token needs a proof of possession (RFC 7800), which is not checked here.
        require(claims.confirmation.is_none(), "the token is bound to a key of its client")?;
        let until = claims.expires.map(|expires| expires.0.saturating_add(self.leeway));
        if until.is_some_and(|until| now >= until) {
            return Err(Refused::Expired);
        }
        let start = claims.not_before.map(|start| start.0.saturating_sub(self.leeway));
        require(start.is_none_or(|start| start <= now), "claim `nbf` is in the future")?;
        let granted = |scope: &str| claims.scopes().any(|granted| granted == scope);
        if let Some(missing) = self.scopes.iter().find(|scope| !granted(scope)) {
            return Err(Refused::MissingScope(missing.clone()));
        }
        let reader = ClaimReader::new(&claims, &token.claims);
        let mapped = reader.map(&self.mapping);
        let mapped = mapped.map_err(|problem| Refused::Member(problem.to_string()))?;
        let mut identity =
            mapped.identity(Proof::Introspection, &self.issuer).with_scopes(claims.scopes());
        let expiry = claims.expires.and_then(|expires| UNIX_EPOCH.checked_add(expires.0));
        if let Some(at) = expiry {
            identity = identity.with_expires_at(at);
        }
        let identity = identity.with_credential_claims(token.claims.clone());
        let kind = identity.claim("token_type").map(|kind| kind.as_str().unwrap_or_default());
        require(
            kind.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")),
            "claim `token_type` is not `Bearer`",
        )?;
        check_use(&identity)?;
        Ok(Accepted { identity, until })
    }

    fn check_origin(&self, claims: &TokenClaims<'_>) -> Result<(), Refused> {
        if let Some(received) = claims.issuer.as_deref().filter(|issuer| *issuer != &*self.issuer) {
            return Err(Refused::Issuer { received: received.to_owned() });
        }
        let Some(ours) = &self.audiences else { return Ok(()) };
        let audiences = || claims.audience.iter().flat_map(OneOrMany::texts);
        if audiences().any(|one| ours.iter().any(|own| !one.is_empty() && **own == *one)) {
            return Ok(());
        }
        Err(Refused::Audience { received: audiences().map(str::to_owned).collect() })
    }

    /// Returns the response for a rejected token. The endpoint has vouched for the token, so that the
    /// client may know which claim is wrong.
    pub(super) fn failure(&self, refused: &Refused) -> Failure {
        let (refusal, detail) = match refused {
            Refused::Issuer { .. } => {
                (Refusal::InvalidToken, "claim `iss` is not the expected issuer".to_owned())
            }
            Refused::Audience { .. } => {
                (Refusal::InvalidToken, "claim `aud` does not name this service".to_owned())
            }
            Refused::Member(reason) => (Refusal::InvalidToken, reason.clone()),
            Refused::Expired => (Refusal::ExpiredToken, "the bearer token has expired".to_owned()),
            Refused::MissingScope(scope) => {
                (Refusal::InsufficientScope, format!("missing scope `{scope}`"))
            }
        };
        let rejection = Rejection::new(refusal).with_detail(detail);
        if refusal == Refusal::InsufficientScope {
            return Failure::bearer(rejection, Some("insufficient_scope"))
                .scope(&self.scopes.join(" "));
        }
        Failure::bearer(rejection, Some("invalid_token"))
    }
}

/// Refuses refresh tokens, which an endpoint calls active too (RFC 7662 section 2.1). Hydra tells them
/// apart by `token_use` and OpenIddict by `token_usage`: <https://github.com/ory/fosite/issues/207>.
fn check_use(identity: &Identity) -> Result<(), Refused> {
    let is_access = |name| {
        let kind = identity.claim(name).map(|kind| kind.as_str().unwrap_or_default());
        kind.is_none_or(|kind| matches!(kind, "access" | "access_token"))
    };
    require(is_access("token_use"), "claim `token_use` is not `access_token`")?;
    require(is_access("token_usage"), "claim `token_usage` is not `access_token`")
}

fn require(condition: bool, failure: &'static str) -> Result<(), Refused> {
    if condition { Ok(()) } else { Err(Refused::Member(failure.to_owned())) }
}

fn wrong_type(error: ClaimsError) -> Refused {
    Refused::Member(match error {
        ClaimsError::WrongType { claim, expected } => format!("claim `{claim}` is not {expected}"),
        ClaimsError::NotAnObject => "the claims are not a JSON object with unique names".to_owned(),
    })
}
