//! Checks the claims of a token with a valid signature.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    cache::{ClockReading, ValidityPeriod, VerifiedToken},
    claims::{ClaimMapping, ClaimReader, ClaimsError, TokenClaims},
    confirmation::Binding,
    counts::SettingsFit,
    failures::{AuthFailure, Unconfirmed},
    json::OneOrMany,
    jwt::Jwt,
    numeric_date::NumericDate,
};
use crate::identity::{Identity, Proof};

/// An issuer and what its tokens have shown.
pub(super) struct Issuer {
    pub(super) jwt: Jwt,
    pub(super) fit: SettingsFit,
    pub(super) mapping: ClaimMapping,
    /// The required scopes as one list.
    required_scopes: Box<str>,
}

/// What the claims of a token have proved.
pub(super) struct CheckedClaims {
    identity: Identity,
    binding: Option<Arc<Binding>>,
    validity: ValidityPeriod,
}

impl CheckedClaims {
    /// Adds the claims as JSON.
    pub(super) fn with_json(self, json: Vec<u8>) -> VerifiedToken {
        let Self { identity, binding, validity } = self;
        let identity = Arc::new(identity.with_credential_claims(json));
        VerifiedToken { identity, binding, validity }
    }
}

/// Parses the payload of a token.
pub(super) fn parse_claims(json: &[u8]) -> Result<TokenClaims<'_>, AuthFailure> {
    TokenClaims::parse(json).map_err(|error| {
        AuthFailure::InvalidClaim(match error {
            ClaimsError::NotAnObject => "the payload is not a JSON object with unique names".into(),
            ClaimsError::WrongType { claim, expected } => {
                format!("claim `{claim}` is not {expected}").into()
            }
        })
    })
}

impl Issuer {
    pub(super) fn new(jwt: Jwt) -> Self {
        let required_scopes = jwt.required_scopes.join(" ").into();
        Self { fit: SettingsFit::default(), mapping: jwt.mapping(), required_scopes, jwt }
    }

    /// Checks the claims. `json` is the text that they were parsed from.
    pub(super) fn check_claims(
        &self,
        token_type: Option<&str>,
        claims: &TokenClaims<'_>,
        json: &[u8],
        now: ClockReading,
    ) -> Result<CheckedClaims, AuthFailure> {
        let jwt = &self.jwt;
        require(jwt.token_types.accepts(token_type), "header `typ` is not an accepted token type")?;
        if !claims.issuer.as_deref().is_some_and(|issuer| jwt.has_issuer(issuer)) {
            return Err(AuthFailure::OtherIssuer);
        }
        if !self.has_our_audience(claims) {
            return Err(AuthFailure::OtherAudience);
        }
        self.fit.prove();
        let (expires, validity) = self.check_dates(claims, now)?;
        let reader = ClaimReader::new(claims, json);
        let problem = |problem| AuthFailure::InvalidClaim(format!("{problem}").into());
        let mapped = reader.map(&self.mapping).map_err(problem)?;
        jwt.checks().iter().try_for_each(|check| check.check(&reader)).map_err(problem)?;
        self.check_use(claims)?;
        let binding = match &claims.confirmation {
            None => None,
            Some(confirmation) => {
                let binding = confirmation.binding();
                let binding = binding.ok_or(AuthFailure::Unconfirmed(Unconfirmed::Unsupported))?;
                Some(Arc::new(binding.clone()))
            }
        };
        self.check_scopes(claims)?;
        let expiry = UNIX_EPOCH.checked_add(expires);
        let late = || AuthFailure::InvalidClaim("claim `exp` is too late".into());
        let expiry = expiry.ok_or_else(late)?;
        let identity = mapped
            .identity(Proof::Jwt, &jwt.issuer)
            .with_scopes(claims.scopes())
            .with_expires_at(expiry);
        Ok(CheckedClaims { identity, binding, validity })
    }

    fn check_dates(
        &self,
        claims: &TokenClaims<'_>,
        now: ClockReading,
    ) -> Result<(Duration, ValidityPeriod), AuthFailure> {
        let jwt = &self.jwt;
        let missing = AuthFailure::InvalidClaim(Cow::Borrowed("claim `exp` is missing"));
        let expires = claims.expires.ok_or(missing)?.0;
        let until = expires.saturating_add(jwt.leeway);
        if now.wall >= until {
            return Err(AuthFailure::Expired);
        }
        let start = |date: Option<NumericDate>| {
            date.map_or(Duration::ZERO, |date| date.0.saturating_sub(jwt.leeway))
        };
        let not_before = start(claims.not_before);
        let issued = start(claims.issued.filter(|_| !jwt.future_iat));
        require(not_before <= now.wall, "claim `nbf` is in the future")?;
        require(issued <= now.wall, "claim `iat` is in the future")?;
        Ok((expires, ValidityPeriod { from: not_before.max(issued), until }))
    }

    /// Tells access tokens from other tokens.
    fn check_use(&self, claims: &TokenClaims<'_>) -> Result<(), AuthFailure> {
        let jwt = &self.jwt;
        let token_use = claims.token_use.as_deref().filter(|_| jwt.has_client_id_as_audience());
        let access = token_use.is_none_or(|token_use| token_use == "access");
        require(access, "claim `token_use` is not `access`")?;
        if jwt.strict_access_tokens {
            let present = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
            require(claims.audience.is_some(), "claim `aud` is missing")?;
            let subject = present(claims.subject.as_deref());
            require(subject, "claim `sub` is missing or empty")?;
            let client_id = present(claims.client_id.as_deref());
            require(client_id, "claim `client_id` is missing or empty")?;
            require(claims.issued.is_some(), "claim `iat` is missing")?;
            let token_id = present(claims.token_id.as_deref());
            require(token_id, "claim `jti` is missing or empty")?;
        }
        Ok(())
    }

    fn check_scopes(&self, claims: &TokenClaims<'_>) -> Result<(), AuthFailure> {
        let is_granted = |required: &str| claims.scopes().any(|scope| scope == required);
        match self.jwt.required_scopes.iter().find(|scope| !is_granted(scope)) {
            None => Ok(()),
            Some(missing) => Err(AuthFailure::MissingScope {
                missing: missing.clone(),
                required: self.required_scopes.clone(),
            }),
        }
    }

    /// Reads `client_id` only if there is no `aud`. API Gateway does the same.
    fn has_our_audience(&self, claims: &TokenClaims<'_>) -> bool {
        let Some(ours) = self.jwt.audiences() else {
            return true;
        };
        let is_ours = |audience: &str| {
            !audience.is_empty() && ours.iter().any(|accepted| **accepted == *audience)
        };
        match &claims.audience {
            Some(OneOrMany::One(audience)) => is_ours(audience),
            Some(OneOrMany::Many(audiences)) => audiences.iter().any(|audience| is_ours(audience)),
            None => {
                let client = claims.client_id.as_deref();
                client.filter(|_| self.jwt.has_client_id_as_audience()).is_some_and(is_ours)
            }
        }
    }
}

fn require(condition: bool, failure: &'static str) -> Result<(), AuthFailure> {
    if condition { Ok(()) } else { Err(AuthFailure::InvalidClaim(Cow::Borrowed(failure))) }
}
