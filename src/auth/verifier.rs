//! The checks: a request's fields in, an identity or a refusal out.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::HeaderMap;
use serde_json::Value;

use super::{
    challenge::{Challenges, Credentials, Failure, is_several},
    flight::Waiter,
    json::OneOrMany,
    jwt::Jwt,
    remote::{Course, Fetched, Need},
    token::{Claims, Header, NumericDate, Parts, Unreadable, base64url},
    verified::{Found, Held, Now, Verified, Window},
};
use crate::{
    identity::{Identity, Proof},
    rejection::Rejection,
};

/// A configuration and what it remembers.
pub(super) struct Verifier {
    jwt: Jwt,
    verified: Verified,
    challenges: Challenges,
}

/// What becomes of a request.
pub(super) enum Verdict {
    Admit(Arc<Identity>),
    Refuse(Rejection),
    /// To be judged again when there are keys.
    Wait(Waiter<Fetched>),
}

impl Verifier {
    pub(super) fn new(jwt: Jwt) -> Self {
        Self {
            verified: Verified::new(jwt.cache_bytes, jwt.max_token_bytes),
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
    pub(super) fn judge(&self, headers: &HeaderMap, waited: bool) -> Verdict {
        self.examine(headers, waited).unwrap_or_else(|failure| {
            let rejection = self.challenges.rejection(failure);
            tracing::debug!(
                refusal = rejection.refusal().slug(),
                reason = failure.reason(),
                "a request is refused",
            );
            Verdict::Refuse(rejection)
        })
    }

    fn examine(&self, headers: &HeaderMap, waited: bool) -> Result<Verdict, Failure> {
        let token = match Credentials::of(headers) {
            Credentials::None => return Err(Failure::NoCredentials),
            Credentials::Several => return Err(Failure::SeveralCredentials),
            Credentials::Bearer(token) => token,
        };
        if token.len() > self.jwt.max_token_bytes {
            return Err(Failure::Token("longer than allowed"));
        }
        loop {
            if let Some(verdict) = self.attempt(token, waited)? {
                return Ok(verdict);
            }
        }
    }

    /// `None` when the keys have changed meanwhile.
    fn attempt(&self, token: &[u8], waited: bool) -> Result<Option<Verdict>, Failure> {
        let now = Now::of(&self.jwt.clock);
        let current = self.jwt.keys.current(now.monotonic);
        let need = match current.snapshot() {
            _ if waited => None,
            None => Some(Need::Any),
            Some(_) => current.due.then_some(Need::Newer),
        };
        let found = current.snapshot().map(|keys| self.verified.find(token, keys.generation, now));
        let (remembered, until) = match found {
            Some(Found::Expired) => return Err(Failure::Expired),
            Some(Found::Identity(identity)) if need.is_none() => {
                return Ok(Some(Verdict::Admit(identity)));
            }
            Some(Found::Identity(identity)) => (Some(identity), None),
            Some(Found::Nothing { until }) => (None, until),
            None => (None, None),
        };

        // Before anything is fetched: what is no token of ours makes nobody wait.
        if is_several(token) {
            return Err(Failure::SeveralCredentials);
        }
        let parts = Parts::of(token).ok_or(Failure::Token("not three parts"))?;
        let json = base64url(parts.header).ok_or(Failure::Token("the header is not base64url"))?;
        let (header, algorithm) = Header::of(&json).ok_or(Failure::Token("the header"))?;
        if !self.jwt.algorithms.contains(&algorithm) {
            return Err(Failure::Token("the algorithm"));
        }

        if let Some(need) = need {
            match self.jwt.keys.call(need, current.serial(), now.monotonic) {
                Course::Wait(waiter) => return Ok(Some(Verdict::Wait(waiter))),
                Course::LookAgain => return Ok(None),
                Course::Unavailable(absence) => return Err(Failure::Unavailable(absence)),
                Course::GoOn => {}
            }
        }
        if let Some(identity) = remembered {
            return Ok(Some(Verdict::Admit(identity)));
        }
        let Some(snapshot) = current.snapshot() else {
            return Err(Failure::Unavailable(self.jwt.keys.absence(now.monotonic)));
        };

        let candidates = snapshot.keys.find(header.key_id.as_deref(), algorithm);
        let held = parts.with_signature(|signature| {
            let mut candidates = candidates?.into_iter().flatten();
            let held = candidates.any(|key| key.verify_sig(parts.signed, signature).is_ok());
            if held { Ok(()) } else { Err("the signature") }
        });
        let held = held.ok_or(Failure::Token("the signature is not base64url"))?;
        if let Err(reason) = held {
            let refused = Failure::Token(reason);
            if waited {
                return Err(refused);
            }
            // The key may have been renewed since: under another kid, its old one, or none at all.
            return match self.jwt.keys.call(Need::Unknown, current.serial(), now.monotonic) {
                Course::Wait(waiter) => Ok(Some(Verdict::Wait(waiter))),
                Course::LookAgain => Ok(None),
                Course::Unavailable(absence) => Err(Failure::Unavailable(absence)),
                Course::GoOn => Err(refused),
            };
        }

        let claims = base64url(parts.payload).ok_or(Failure::Claim("the payload"))?;
        let held = self.check(header.kind.as_deref(), claims, now)?;
        let identity = Arc::clone(&held.identity);
        self.verified.keep(token, held, snapshot.generation, now, until);
        Ok(Some(Verdict::Admit(identity)))
    }

    /// Checks what a token says of itself, once its signature held.
    fn check(&self, kind: Option<&str>, json: Vec<u8>, now: Now) -> Result<Held, Failure> {
        let jwt = &self.jwt;
        let claims = Claims::of(&json).map_err(|unreadable| match unreadable {
            Unreadable::Payload => Failure::Claim("the payload"),
            Unreadable::Claim(claim, expected) => Failure::Mistyped(claim, expected),
        })?;
        let holds = |held: bool, claim| if held { Ok(()) } else { Err(Failure::Claim(claim)) };

        holds(jwt.types.accept(kind), "typ")?;
        holds(claims.issuer.as_deref() == Some(&*jwt.issuer), "iss")?;
        holds(self.is_for_us(&claims), "aud")?;
        let expires = claims.expires.ok_or(Failure::Claim("exp"))?.0;
        let until = expires.saturating_add(jwt.leeway);
        if now.wall >= until {
            return Err(Failure::Expired);
        }
        // The moment from which it holds: neither issued nor to be used later than now.
        let from = |date: Option<NumericDate>| {
            date.map_or(Duration::ZERO, |date| date.0.saturating_sub(jwt.leeway))
        };
        let (not_before, issued) = (from(claims.not_before), from(claims.issued));
        holds(not_before <= now.wall, "nbf")?;
        holds(issued <= now.wall, "iat")?;
        let subject = claims.subject.as_deref().filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(Failure::Claim("sub"))?;
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
            return Err(Failure::Scope);
        }

        let expiry = UNIX_EPOCH.checked_add(expires).ok_or(Failure::Claim("exp"))?;
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
                Some(_) => return Err(Failure::Tenant),
            }
        }
        let window = Window { from: not_before.max(issued), until };
        Ok(Held { identity: Arc::new(identity), window })
    }

    /// Whether the token is for one of our audiences. `client_id` is looked at only when there is no
    /// `aud`, as API Gateway does it.
    fn is_for_us(&self, claims: &Claims<'_>) -> bool {
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
