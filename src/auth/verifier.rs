//! The checks: a request's fields in, an identity or a refusal out.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::HeaderMap;
use serde_json::Value;

use super::{
    challenge::{Challenges, Credentials, AuthFailure, is_multiple},
    shared_future::Waiter,
    json::OneOrMany,
    jwt::Jwt,
    fetcher::{FetchDecision, FetchResult, FetchReason},
    token_parts::{TokenClaims, TokenHeader, NumericDate, TokenParts, ClaimsError, base64url},
    token_cache::{CacheLookup, VerifiedClaims, ClockReading, TokenCache, ValidityPeriod},
};
use crate::{
    identity::{Identity, Proof},
    rejection::Rejection,
};

/// A configuration and what it remembers.
pub(super) struct TokenVerifier {
    jwt: Jwt,
    cache: TokenCache,
    challenges: Challenges,
}

/// What becomes of a request.
pub(super) enum Verdict {
    Allow(Arc<Identity>),
    Reject(Rejection),
    /// To be judged again when there are keys.
    Wait(Waiter<FetchResult>),
}

impl TokenVerifier {
    pub(super) fn new(jwt: Jwt) -> Self {
        Self {
            cache: TokenCache::new(jwt.cache_bytes, jwt.max_token_bytes),
            challenges: Challenges::new(
                jwt.realm.as_deref(),
                &jwt.required_scopes,
                jwt.tenant_claim.as_deref(),
            ),
            jwt,
        }
    }

    pub(super) const fn jwt(&self) -> &Jwt {
        &self.jwt
    }

    /// Judges a request. One that has `waited` for keys does not wait again.
    pub(super) fn verify(&self, headers: &HeaderMap, waited: bool) -> Verdict {
        self.verify_headers(headers, waited).unwrap_or_else(|failure| {
            let rejection = self.challenges.rejection(failure);
            tracing::debug!(
                refusal = rejection.refusal().slug(),
                reason = failure.reason(),
                "a request is refused",
            );
            Verdict::Reject(rejection)
        })
    }

    fn verify_headers(&self, headers: &HeaderMap, waited: bool) -> Result<Verdict, AuthFailure> {
        let token = match Credentials::of(headers) {
            Credentials::None => return Err(AuthFailure::MissingCredentials),
            Credentials::Multiple => return Err(AuthFailure::MultipleCredentials),
            Credentials::Bearer(token) => token,
        };
        if token.len() > self.jwt.max_token_bytes {
            return Err(AuthFailure::Token("longer than allowed"));
        }
        loop {
            if let Some(verdict) = self.try_verify(token, waited)? {
                return Ok(verdict);
            }
        }
    }

    /// `None` when the keys have changed meanwhile.
    fn try_verify(&self, token: &[u8], waited: bool) -> Result<Option<Verdict>, AuthFailure> {
        let now = ClockReading::of(&self.jwt.clock);
        let current = self.jwt.keys.current(now.monotonic);
        let reason = match current.snapshot() {
            _ if waited => None,
            None => Some(FetchReason::NoKeys),
            Some(_) => current.due.then_some(FetchReason::KeysAged),
        };
        let found = current.snapshot().map(|keys| self.cache.get(token, keys.generation, now));
        let (remembered, until) = match found {
            Some(CacheLookup::Expired) => return Err(AuthFailure::Expired),
            Some(CacheLookup::Hit(identity)) if reason.is_none() => {
                return Ok(Some(Verdict::Allow(identity)));
            }
            Some(CacheLookup::Hit(identity)) => (Some(identity), None),
            Some(CacheLookup::Miss { until }) => (None, until),
            None => (None, None),
        };

        // Before anything is fetched: what is no token of ours makes nobody wait.
        if is_multiple(token) {
            return Err(AuthFailure::MultipleCredentials);
        }
        let parts = TokenParts::of(token).ok_or(AuthFailure::Token("not three parts"))?;
        let json = base64url(parts.header).ok_or(AuthFailure::Token("the header is not base64url"))?;
        let (header, algorithm) = TokenHeader::of(&json).ok_or(AuthFailure::Token("the header"))?;
        if !self.jwt.algorithms.contains(&algorithm) {
            return Err(AuthFailure::Token("the algorithm"));
        }

        if let Some(reason) = reason {
            match self.jwt.keys.request_fetch(reason, current.fetch_number(), now.monotonic) {
                FetchDecision::Wait(waiter) => return Ok(Some(Verdict::Wait(waiter))),
                FetchDecision::KeysChanged => return Ok(None),
                FetchDecision::Unavailable(unavailable) => return Err(AuthFailure::Unavailable(unavailable)),
                FetchDecision::Proceed => {}
            }
        }
        if let Some(identity) = remembered {
            return Ok(Some(Verdict::Allow(identity)));
        }
        let Some(snapshot) = current.snapshot() else {
            return Err(AuthFailure::Unavailable(self.jwt.keys.unavailable(now.monotonic)));
        };

        let candidates = snapshot.keys.find(header.key_id.as_deref(), algorithm);
        let held = parts.with_signature(|signature| {
            let mut candidates = candidates?.into_iter().flatten();
            let held = candidates.any(|key| key.verify_sig(parts.signed, signature).is_ok());
            if held { Ok(()) } else { Err("the signature") }
        });
        let held = held.ok_or(AuthFailure::Token("the signature is not base64url"))?;
        if let Err(reason) = held {
            let refused = AuthFailure::Token(reason);
            if waited {
                return Err(refused);
            }
            // The key may have been renewed since: under another kid, its old one, or none at all.
            return match self.jwt.keys.request_fetch(FetchReason::NotVerified, current.fetch_number(), now.monotonic) {
                FetchDecision::Wait(waiter) => Ok(Some(Verdict::Wait(waiter))),
                FetchDecision::KeysChanged => Ok(None),
                FetchDecision::Unavailable(unavailable) => Err(AuthFailure::Unavailable(unavailable)),
                FetchDecision::Proceed => Err(refused),
            };
        }

        let claims = base64url(parts.payload).ok_or(AuthFailure::Claim("the payload"))?;
        let held = self.check_claims(header.token_type.as_deref(), claims, now)?;
        let identity = Arc::clone(&held.identity);
        self.cache.insert(token, held, snapshot.generation, now, until);
        Ok(Some(Verdict::Allow(identity)))
    }

    /// Checks what a token says of itself, once its signature held.
    fn check_claims(&self, token_type: Option<&str>, json: Vec<u8>, now: ClockReading) -> Result<VerifiedClaims, AuthFailure> {
        let jwt = &self.jwt;
        let claims = TokenClaims::of(&json).map_err(|error| match error {
            ClaimsError::NotAnObject => AuthFailure::Claim("the payload"),
            ClaimsError::WrongType(claim, expected) => AuthFailure::WrongType(claim, expected),
        })?;
        let holds = |held: bool, claim| if held { Ok(()) } else { Err(AuthFailure::Claim(claim)) };

        holds(jwt.types.accepts(token_type), "typ")?;
        holds(claims.issuer.as_deref() == Some(&*jwt.issuer), "iss")?;
        holds(self.has_our_audience(&claims), "aud")?;
        let expires = claims.expires.ok_or(AuthFailure::Claim("exp"))?.0;
        let until = expires.saturating_add(jwt.leeway);
        if now.wall >= until {
            return Err(AuthFailure::Expired);
        }
        // The moment from which it holds: neither issued nor to be used later than now.
        let from = |date: Option<NumericDate>| {
            date.map_or(Duration::ZERO, |date| date.0.saturating_sub(jwt.leeway))
        };
        let (not_before, issued) = (from(claims.not_before), from(claims.issued));
        holds(not_before <= now.wall, "nbf")?;
        holds(issued <= now.wall, "iat")?;
        let subject = claims.subject.as_deref().filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(AuthFailure::Claim("sub"))?;
        let access = jwt.client_id_as_audience;
        let token_use = claims.token_use.as_deref().filter(|_| access).unwrap_or("access");
        holds(token_use == "access", "token_use")?;
        if jwt.access_tokens {
            let there = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
            holds(claims.audience.is_some(), "aud")?;
            holds(there(claims.client_id.as_deref()), "client_id")?;
            holds(claims.issued.is_some(), "iat")?;
            holds(there(claims.token_id.as_deref()), "jti")?;
        }
        let has = |required: &str| claims.scopes().any(|scope| scope == required);
        if !jwt.required_scopes.iter().all(|required| has(required)) {
            return Err(AuthFailure::Scope);
        }

        let expiry = UNIX_EPOCH.checked_add(expires).ok_or(AuthFailure::Claim("exp"))?;
        let mut identity = Identity::new(Proof::Jwt, jwt.issuer.clone(), subject)
            .with_scopes(claims.scopes())
            .with_expiry(expiry);
        identity = identity.with_credential_claims(json);
        if let Some(name) = &jwt.tenant_claim {
            match identity.claim(name) {
                None => {}
                Some(Value::String(tenant)) if !tenant.is_empty() => {
                    let tenant: Box<str> = tenant.as_str().into();
                    identity = identity.with_tenant(tenant);
                }
                Some(_) => return Err(AuthFailure::Tenant),
            }
        }
        let validity = ValidityPeriod { from: not_before.max(issued), until };
        Ok(VerifiedClaims { identity: Arc::new(identity), validity })
    }

    /// Whether the token is for one of our audiences. `client_id` is looked at only when there is no
    /// `aud`, as API Gateway does it.
    fn has_our_audience(&self, claims: &TokenClaims<'_>) -> bool {
        let Some(audiences) = &self.jwt.audiences else {
            return true;
        };
        let ours =
            |audience: &str| !audience.is_empty() && audiences.iter().any(|our| **our == *audience);
        match &claims.audience {
            Some(OneOrMany::One(audience)) => ours(audience),
            Some(OneOrMany::Many(audiences)) => audiences.iter().any(|audience| ours(audience)),
            None => {
                let client = claims.client_id.as_deref().filter(|_| self.jwt.client_id_as_audience);
                client.is_some_and(ours)
            }
        }
    }
}
