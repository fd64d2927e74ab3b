//! What a token needs beside being active.

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::Value;

use super::response::ActiveToken;
use crate::{
    auth::failure::Failure,
    identity::{ClaimPath, Identity, Proof},
    rejection::{Refusal, Rejection},
};

/// The requirements for an active token of one issuer.
pub(super) struct Requirements {
    pub(super) issuer: Box<str>,
    /// `None` accepts any audience.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) scopes: Vec<Box<str>>,
    pub(super) subject_claim: ClaimPath,
    pub(super) tenant_claim: Option<ClaimPath>,
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
    Issuer { received: String },
    Audience { received: Vec<String> },
    Member(&'static str),
    WrongType(&'static str),
    Subject(String),
    Tenant(String),
    Expired,
    MissingScope(Box<str>),
}

impl Requirements {
    /// Checks a token at `now` since 1970.
    pub(super) fn check(&self, token: &ActiveToken, now: Duration) -> Result<Accepted, Refused> {
        let text = |name| token.text(name).map_err(Refused::WrongType);
        let require =
            |condition, reason| if condition { Ok(()) } else { Err(Refused::Member(reason)) };
        if let Some(received) = text("iss")?.filter(|issuer| **issuer != *self.issuer) {
            return Err(Refused::Issuer { received: received.into_owned() });
        }
        if let Some(ours) = &self.audiences {
            let audiences = token.texts("aud").map_err(Refused::WrongType)?;
            let named = audiences.iter().any(|one| ours.iter().any(|own| **own == **one));
            if !named {
                let received = audiences.into_iter().map(Cow::into_owned).collect();
                return Err(Refused::Audience { received });
            }
        }
        // A bound token needs a proof of possession (RFC 7800), which is not checked here.
        require(token.member("cnf").is_none(), "the token is bound to a key of its client")?;
        let kind = text("token_type")?;
        require(
            kind.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")),
            "member `token_type` is not `Bearer`",
        )?;
        let date = |name| token.date(name).map_err(Refused::WrongType);
        let until = date("exp")?.map(|expires| expires.saturating_add(self.leeway));
        if until.is_some_and(|until| now >= until) {
            return Err(Refused::Expired);
        }
        let start = date("nbf")?.map(|start| start.saturating_sub(self.leeway));
        require(start.is_none_or(|start| start <= now), "member `nbf` is in the future")?;
        let scopes = token.scopes().map_err(Refused::WrongType)?;
        let granted = |scope: &str| scopes.iter().any(|granted| *granted == *scope);
        if let Some(missing) = self.scopes.iter().find(|scope| !granted(scope)) {
            return Err(Refused::MissingScope(missing.clone()));
        }
        let identity = self.identity(token, scopes.iter().map(AsRef::as_ref))?;
        Ok(Accepted { identity: self.with_expiry(identity, until), until })
    }

    fn identity<'a>(
        &self,
        token: &ActiveToken,
        scopes: impl Iterator<Item = &'a str>,
    ) -> Result<Identity, Refused> {
        let of = |subject: &str| Identity::new(Proof::Introspection, self.issuer.clone(), subject);
        let claims = of("").with_credential_claims(token.json().to_owned());
        let name = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let subject = name(claims.claim_at(&self.subject_claim));
        let subject = subject.ok_or_else(|| Refused::Subject(self.subject_claim.to_string()))?;
        let mut identity =
            of(&subject).with_scopes(scopes).with_credential_claims(token.json().to_owned());
        if let Some(client) = token.text("client_id").map_err(Refused::WrongType)? {
            identity = identity.with_client(client.into_owned());
        }
        if let Some(path) = &self.tenant_claim {
            // Absent is none. Anything else must be a name.
            let value = claims.claim_at(path).filter(|value| !value.is_null());
            if value.is_some() {
                let tenant = name(value).ok_or_else(|| Refused::Tenant(path.to_string()))?;
                identity = identity.with_tenant(tenant);
            }
        }
        Ok(identity)
    }

    fn with_expiry(&self, identity: Identity, until: Option<Duration>) -> Identity {
        let expiry = until.map(|until| until.saturating_sub(self.leeway));
        match expiry.and_then(|expiry| UNIX_EPOCH.checked_add(expiry)) {
            Some(at) => identity.with_expires_at(at),
            None => identity,
        }
    }

    /// Returns the response for a rejected token. The endpoint has vouched for the token, so that the
    /// client may know which member is wrong.
    pub(super) fn failure(&self, refused: &Refused) -> Failure {
        let refusal = match refused {
            Refused::Expired => Refusal::ExpiredToken,
            Refused::MissingScope(_) => Refusal::InsufficientScope,
            _ => Refusal::InvalidToken,
        };
        let detail = match refused {
            Refused::Issuer { .. } => "member `iss` is not the expected issuer".to_owned(),
            Refused::Audience { .. } => "member `aud` does not name this service".to_owned(),
            Refused::Member(reason) => (*reason).to_owned(),
            Refused::WrongType(name) => format!("member `{name}` does not have its type"),
            Refused::Subject(path) => format!("member `{path}` is not a non-empty string"),
            Refused::Tenant(path) => format!("member `{path}` is not a non-empty string"),
            Refused::Expired => "the bearer token has expired".to_owned(),
            Refused::MissingScope(scope) => format!("missing scope `{scope}`"),
        };
        let rejection = Rejection::new(refusal).with_detail(detail);
        match refused {
            Refused::MissingScope(_) => {
                Failure::bearer(rejection, Some("insufficient_scope")).scope(&self.scopes.join(" "))
            }
            _ => Failure::bearer(rejection, Some("invalid_token")),
        }
    }
}
