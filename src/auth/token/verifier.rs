//! Verifies the token of a request.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::HeaderMap;
use serde_json::Value;

use super::{
    cache::{CacheLookup, ClockReading, TokenCache, ValidityPeriod, VerifiedClaims},
    claims::{ClaimsError, NumericDate, TokenClaims},
    credentials::{Credentials, is_list},
    failures::{AuthFailure, FailureWriter},
    json::OneOrMany,
    jwt::Jwt,
    mismatch::{AuthCounts, Mismatches},
    parts::{TokenHeader, TokenParts, base64url},
};
use crate::{
    auth::{
        keys::{FetchDecision, FetchReason, FetchResult, Waiter},
        method::{AuthMethod, Facts, Places, Verdict, Waited},
    },
    context::RequestHead,
    identity::{Identity, Proof},
};

/// The settings of a layer and its cache.
pub(crate) struct TokenVerifier {
    jwt: Jwt,
    cache: TokenCache,
    failures: FailureWriter,
    mismatches: Mismatches,
}

/// The result of an attempt to verify a token.
enum Attempt {
    Allow(Arc<Identity>),
    /// The request waits for keys and is then verified again.
    Wait(Waiter<FetchResult>),
}

impl TokenVerifier {
    pub(crate) fn new(jwt: Jwt) -> Self {
        let tenant_claim = jwt.tenant_claim.as_deref();
        Self {
            cache: TokenCache::new(jwt.max_cache_bytes, jwt.max_token_bytes),
            failures: FailureWriter::new(&jwt.required_scopes, tenant_claim),
            mismatches: Mismatches::default(),
            jwt,
        }
    }

    pub(crate) fn keys_age(&self) -> Option<Duration> {
        self.jwt.keys.age()
    }

    pub(crate) fn counts(&self) -> AuthCounts {
        self.mismatches.counts()
    }

    fn verify_headers(
        &self,
        headers: &HeaderMap,
        waited: bool,
    ) -> Result<Attempt, AuthFailure<'_>> {
        let token = match Credentials::from_headers(headers) {
            Credentials::Missing => return Err(AuthFailure::MissingCredentials),
            Credentials::Multiple => return Err(AuthFailure::MultipleCredentials),
            Credentials::Bearer(token) => token,
        };
        if token.len() > self.jwt.max_token_bytes {
            return Err(AuthFailure::InvalidToken("the token is too long"));
        }
        loop {
            if let Some(attempt) = self.try_verify(token, waited)? {
                return Ok(attempt);
            }
        }
    }

    /// Returns `None` if the keys changed during the verification.
    fn try_verify(&self, token: &[u8], waited: bool) -> Result<Option<Attempt>, AuthFailure<'_>> {
        let now = ClockReading::now(&self.jwt.clock);
        let current = self.jwt.keys.current(now.monotonic);
        let fetch_reason = match current.snapshot() {
            _ if waited => None,
            None => Some(FetchReason::NoKeys),
            Some(_) => current.due.then_some(FetchReason::KeysAged),
        };
        let lookup = current.snapshot().map(|keys| self.cache.get(token, keys.generation, now));
        let (cached, earlier_expiry) = match lookup {
            Some(CacheLookup::Expired) => return Err(AuthFailure::Expired),
            Some(CacheLookup::Hit(identity)) if fetch_reason.is_none() => {
                return Ok(Some(Attempt::Allow(identity)));
            }
            Some(CacheLookup::Hit(identity)) => (Some(identity), None),
            Some(CacheLookup::Miss { expires_at }) => (None, expires_at),
            None => (None, None),
        };

        // Malformed tokens are rejected before a fetch, so that they cause none.
        if is_list(token) {
            return Err(AuthFailure::MultipleCredentials);
        }
        let parts = TokenParts::split(token)
            .ok_or(AuthFailure::InvalidToken("the token does not have three parts"))?;
        let json = base64url(parts.header)
            .ok_or(AuthFailure::InvalidToken("the header is not base64url"))?;
        let (header, algorithm) = TokenHeader::parse(&json)
            .ok_or(AuthFailure::InvalidToken("the header is malformed or unsupported"))?;
        if !self.jwt.algorithms.contains(&algorithm) {
            return Err(AuthFailure::InvalidToken("the algorithm is not accepted"));
        }

        if let Some(reason) = fetch_reason {
            match self.jwt.keys.request_fetch(reason, current.load_number(), now.monotonic) {
                FetchDecision::Wait(waiter) => return Ok(Some(Attempt::Wait(waiter))),
                FetchDecision::KeysChanged => return Ok(None),
                FetchDecision::Unavailable(reason) => {
                    return Err(AuthFailure::KeysUnavailable(reason));
                }
                FetchDecision::Proceed => {}
            }
        }
        if let Some(identity) = cached {
            return Ok(Some(Attempt::Allow(identity)));
        }
        let Some(snapshot) = current.snapshot() else {
            let unavailable = self.jwt.keys.unavailable(now.monotonic);
            return Err(AuthFailure::KeysUnavailable(unavailable));
        };

        let candidates = snapshot.keys.find(header.key_id.as_deref(), algorithm);
        let verified = parts.with_signature(|signature| {
            let mut candidates = candidates?.into_iter().flatten();
            let verified = candidates.any(|key| key.verify_sig(parts.signed, signature).is_ok());
            if verified { Ok(()) } else { Err("the signature is invalid") }
        });
        let verified =
            verified.ok_or(AuthFailure::InvalidToken("the signature is not base64url"))?;
        if let Err(reason) = verified {
            let unverified = || {
                self.mismatches.unverified(reason, snapshot.keys.count());
                AuthFailure::InvalidToken(reason)
            };
            if waited {
                return Err(unverified());
            }
            // The issuer may have replaced the key under any `kid` or without one.
            let (reason_to_fetch, seen) = (FetchReason::NotVerified, current.load_number());
            return match self.jwt.keys.request_fetch(reason_to_fetch, seen, now.monotonic) {
                FetchDecision::Wait(waiter) => Ok(Some(Attempt::Wait(waiter))),
                FetchDecision::KeysChanged => Ok(None),
                FetchDecision::Unavailable(reason) => Err(AuthFailure::KeysUnavailable(reason)),
                FetchDecision::Proceed => Err(unverified()),
            };
        }

        let payload = base64url(parts.payload);
        let payload = payload.ok_or(AuthFailure::InvalidClaim("the payload is not base64url"))?;
        let claims = self.check_claims(header.token_type.as_deref(), payload, now)?;
        let identity = Arc::clone(&claims.identity);
        self.cache.insert(token, claims, snapshot.generation, now, earlier_expiry);
        Ok(Some(Attempt::Allow(identity)))
    }

    /// Checks the claims of a token with a valid signature.
    fn check_claims(
        &self,
        token_type: Option<&str>,
        json: Vec<u8>,
        now: ClockReading,
    ) -> Result<VerifiedClaims, AuthFailure<'_>> {
        let jwt = &self.jwt;
        let claims = TokenClaims::parse(&json).map_err(|error| match error {
            ClaimsError::NotAnObject => {
                AuthFailure::InvalidClaim("the payload is not a JSON object with unique names")
            }
            ClaimsError::WrongType { claim, expected } => {
                AuthFailure::WrongType { claim, expected }
            }
        })?;

        require(jwt.token_types.accepts(token_type), "header `typ` is not an accepted token type")?;
        if claims.issuer.as_deref() != Some(&*jwt.issuer) {
            self.mismatches.issuer(&jwt.issuer, claims.issuer.as_deref());
            return Err(AuthFailure::InvalidClaim("claim `iss` is not the expected issuer"));
        }
        if !self.has_our_audience(&claims) {
            let expected = jwt.audiences.as_deref().unwrap_or_default();
            let received = claims.audience.iter().flat_map(OneOrMany::texts);
            self.mismatches.audience(expected, received, claims.client_id.as_deref());
            return Err(AuthFailure::InvalidClaim("claim `aud` does not name this service"));
        }
        self.mismatches.accept();
        let expires = claims.expires.ok_or(AuthFailure::InvalidClaim("claim `exp` is missing"))?.0;
        let until = expires.saturating_add(jwt.leeway);
        if now.wall >= until {
            return Err(AuthFailure::Expired);
        }
        let start = |date: Option<NumericDate>| {
            date.map_or(Duration::ZERO, |date| date.0.saturating_sub(jwt.leeway))
        };
        let (not_before, issued) = (start(claims.not_before), start(claims.issued));
        require(not_before <= now.wall, "claim `nbf` is in the future")?;
        require(issued <= now.wall, "claim `iat` is in the future")?;
        let subject = claims.subject.as_deref().filter(|subject| !subject.is_empty());
        let subject =
            subject.ok_or(AuthFailure::InvalidClaim("claim `sub` is missing or empty"))?;
        let token_use = claims.token_use.as_deref().filter(|_| jwt.client_id_as_audience);
        require(
            token_use.is_none_or(|text| text == "access"),
            "claim `token_use` is not `access`",
        )?;
        if jwt.strict_access_tokens {
            let present = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
            require(claims.audience.is_some(), "claim `aud` is missing")?;
            let client_id = present(claims.client_id.as_deref());
            require(client_id, "claim `client_id` is missing or empty")?;
            require(claims.issued.is_some(), "claim `iat` is missing")?;
            let token_id = present(claims.token_id.as_deref());
            require(token_id, "claim `jti` is missing or empty")?;
        }
        let is_granted = |required: &str| claims.scopes().any(|scope| scope == required);
        if let Some(missing) = jwt.required_scopes.iter().find(|scope| !is_granted(scope)) {
            return Err(AuthFailure::MissingScope(missing));
        }

        let expiry = UNIX_EPOCH.checked_add(expires);
        let expiry = expiry.ok_or(AuthFailure::InvalidClaim("claim `exp` is too late"))?;
        let mut identity = Identity::new(Proof::Jwt, jwt.issuer.clone(), subject)
            .with_scopes(claims.scopes())
            .with_expires_at(expiry);
        identity = identity.with_credential_claims(json);
        if let Some(name) = &jwt.tenant_claim {
            match identity.claim(name) {
                None => {}
                Some(Value::String(tenant)) if !tenant.is_empty() => {
                    let tenant: Box<str> = tenant.as_str().into();
                    identity = identity.with_tenant(tenant);
                }
                Some(_) => return Err(AuthFailure::InvalidTenant),
            }
        }
        let validity = ValidityPeriod { from: not_before.max(issued), until };
        Ok(VerifiedClaims { identity: Arc::new(identity), validity })
    }

    /// Reads `client_id` only if there is no `aud`. API Gateway does the same.
    fn has_our_audience(&self, claims: &TokenClaims<'_>) -> bool {
        let Some(ours) = &self.jwt.audiences else {
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
                client.filter(|_| self.jwt.client_id_as_audience).is_some_and(is_ours)
            }
        }
    }
}

impl AuthMethod for TokenVerifier {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        match Credentials::from_headers(head.headers()) {
            Credentials::Bearer(token) if TokenParts::split(token).is_some() => {
                Places::AUTHORIZATION
            }
            _ => Places::NONE,
        }
    }

    fn verify(&self, head: &RequestHead<'_>, waited: bool) -> Verdict {
        match self.verify_headers(head.headers(), waited) {
            Ok(Attempt::Allow(identity)) => Verdict::Allow(identity),
            Ok(Attempt::Wait(waiter)) => Verdict::Wait(Box::pin(async {
                // The verifier reads the outcome from the source.
                let _outcome = waiter.await;
                Waited::VerifyAgain
            })),
            Err(AuthFailure::MissingCredentials) => Verdict::Missing,
            Err(failure) => {
                let reason = failure.reason();
                let failure = self.failures.failure(failure);
                tracing::debug!(refusal = failure.refusal().slug(), reason, "request rejected");
                Verdict::Reject(failure)
            }
        }
    }

    fn hint(&self) -> &str {
        "a token in the header `authorization: Bearer TOKEN`"
    }

    fn facts(&self) -> Facts {
        Facts { tenant: self.jwt.tenant_claim.is_some(), ..Facts::default() }
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.jwt, f)
    }
}

const fn require(condition: bool, failure: &'static str) -> Result<(), AuthFailure<'static>> {
    if condition { Ok(()) } else { Err(AuthFailure::InvalidClaim(failure)) }
}
