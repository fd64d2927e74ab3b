//! Verifies the token of a request.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::HeaderMap;

use super::{
    cache::{CacheState, CachedToken, ClockReading, KeyEpoch, TokenCache, VerifiedToken},
    claim_checks::{Issuer, parse_claims},
    claims::unverified_issuer,
    confirmation::{ClientCertificate, PROOF_HEADER, ProofRequest},
    counts::AuthCounts,
    credentials::{Credentials, TokenScheme, is_list},
    failures::{AuthFailure, Unconfirmed},
    json::is_shallow,
    jwt::Jwt,
    parts::{TokenHeader, TokenParts, base64url},
    rejection_log::{RejectionLog, Seen},
};
use crate::{
    auth::{
        algorithm::Algorithm,
        keys::{FetchDecision, FetchReason, FetchResult, KeySource, Keys},
        method::{AuthMethod, Facts, Places, Verdict, Waited},
    },
    context::RequestHead,
    fetch::Waiter,
    identity::Identity,
};

/// The issuers of a layer and the cache of their tokens.
pub(crate) struct TokenVerifier {
    issuers: Vec<Issuer>,
    cache: TokenCache,
    max_token_bytes: usize,
    /// The names of the issuers for the log.
    names: String,
    unknown_issuer: AtomicU64,
    log: RejectionLog,
}

/// The result of an attempt to verify a token.
enum Attempt {
    Allow(Arc<Identity>),
    /// The request waits for keys and is then verified again.
    Wait(Waiter<FetchResult>),
    /// The keys have changed meanwhile.
    Repeat,
}

/// A request with a token.
struct TokenRequest<'a> {
    head: &'a RequestHead<'a>,
    scheme: TokenScheme,
    token: &'a [u8],
    waited: bool,
}

/// A token whose signature is not verified.
struct UnverifiedToken<'a> {
    parts: TokenParts<'a>,
    header: &'a TokenHeader<'a>,
    algorithm: Algorithm,
    payload: Vec<u8>,
    earlier_expiry: Option<Duration>,
}

/// A rejection that is counted and logged.
struct Rejected(AuthFailure);

impl TokenVerifier {
    /// Accepts the tokens of these issuers. The `iss` of a token selects the issuer if there are
    /// several.
    pub(crate) fn new(issuers: impl IntoIterator<Item = Jwt>) -> Self {
        let issuers: Vec<_> = issuers.into_iter().map(Issuer::new).collect();
        let max_token_bytes = issuers.iter().map(|issuer| issuer.jwt.max_token_bytes).max();
        let max_token_bytes = max_token_bytes.unwrap_or_default();
        let bytes = issuers.iter().map(|issuer| issuer.jwt.max_cache_bytes);
        let cache = TokenCache::new(bytes.fold(0, u64::saturating_add), max_token_bytes);
        let names = issuers.iter().map(|issuer| &*issuer.jwt.issuer).collect::<Vec<_>>().join(", ");
        Self {
            issuers,
            cache,
            max_token_bytes,
            names,
            unknown_issuer: AtomicU64::new(0),
            log: RejectionLog::default(),
        }
    }

    /// Returns a verifier for one more issuer. It has a new cache.
    pub(crate) fn with(&self, jwt: Jwt) -> Self {
        let present = self.issuers.iter().map(|issuer| issuer.jwt.clone());
        Self::new(present.chain([jwt]))
    }

    pub(crate) fn keys_age(&self) -> Option<Duration> {
        self.issuers.iter().filter_map(|issuer| issuer.jwt.keys.age()).max()
    }

    pub(crate) fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        self.issuers.iter().map(|issuer| &issuer.jwt.keys)
    }

    pub(crate) fn counts(&self) -> AuthCounts {
        let counts = self.issuers.iter().map(|issuer| issuer.fit.counts());
        let unknown = self.unknown_issuer.load(Relaxed);
        counts.fold(AuthCounts { unverified: unknown, ..AuthCounts::default() }, AuthCounts::plus)
    }

    fn verify_head(&self, head: &RequestHead<'_>, waited: bool) -> Result<Attempt, Rejected> {
        let (scheme, token) = match Credentials::from_headers(head.headers()) {
            Credentials::Token(TokenScheme::Dpop, _) if !self.accepts_dpop() => {
                return Err(Rejected(AuthFailure::MissingCredentials));
            }
            Credentials::Token(scheme, token) => (scheme, token),
            Credentials::Missing => return Err(Rejected(AuthFailure::MissingCredentials)),
            Credentials::Multiple => return Err(Rejected(AuthFailure::MultipleCredentials)),
        };
        if token.len() > self.max_token_bytes {
            return Err(self.reject(TOO_LONG, Seen::default()));
        }
        let request = TokenRequest { head, scheme, token, waited };
        loop {
            let attempt = match self.cache.get(token) {
                Some(cached) => self.verify_cached(&request, &cached)?,
                None => self.verify_new(&request, None)?,
            };
            if !matches!(attempt, Attempt::Repeat) {
                return Ok(attempt);
            }
        }
    }

    /// Verifies a token that was verified before. Its signature is verified again if the keys have
    /// changed.
    fn verify_cached(
        &self,
        request: &TokenRequest<'_>,
        cached: &CachedToken,
    ) -> Result<Attempt, Rejected> {
        let Some(issuer) = self.issuers.get(cached.epoch.issuer) else {
            return self.verify_new(request, None);
        };
        let now = ClockReading::now(&issuer.jwt.clock);
        let current = issuer.jwt.keys.current(now.monotonic);
        let seen = Seen { issuer: Some((&issuer.jwt, &issuer.fit)), ..Seen::default() };
        match cached.state(current.snapshot().map(|keys| keys.generation), now) {
            CacheState::Expired => return Err(self.reject(AuthFailure::Expired, seen)),
            CacheState::Stale => return self.verify_new(request, Some(cached.expires_at)),
            CacheState::Valid => {}
        }
        if current.due && !request.waited {
            let seen = current.load_number();
            let reason = FetchReason::KeysAged;
            match issuer.jwt.keys.request_fetch(reason, seen, now.monotonic) {
                FetchDecision::Wait(waiter) => return Ok(Attempt::Wait(waiter)),
                FetchDecision::KeysChanged => return Ok(Attempt::Repeat),
                // The present keys are usable.
                FetchDecision::Unavailable(_) | FetchDecision::Proceed => {}
            }
        }
        admit(issuer, request, &cached.verified, now).map_err(|failure| self.reject(failure, seen))
    }

    /// Verifies a token that is not cached. `earlier_expiry` is that of its last verification.
    fn verify_new(
        &self,
        request: &TokenRequest<'_>,
        earlier_expiry: Option<Duration>,
    ) -> Result<Attempt, Rejected> {
        let token = request.token;
        let malformed = |reason| self.reject(AuthFailure::InvalidToken(reason), Seen::default());
        // Malformed tokens are rejected before a fetch, so that they cause none.
        if is_list(token) {
            return Err(Rejected(AuthFailure::MultipleCredentials));
        }
        let parts = TokenParts::split(token)
            .ok_or_else(|| malformed("the token does not have three parts"))?;
        let header = base64url(parts.header).filter(|json| is_shallow(json));
        let header = header.ok_or_else(|| malformed("the header is not base64url or too deep"))?;
        let header =
            TokenHeader::parse(&header).ok_or_else(|| malformed("the header is malformed"))?;
        let payload = base64url(parts.payload).filter(|json| is_shallow(json));
        let payload =
            payload.ok_or_else(|| malformed("the payload is not base64url or too deep"))?;

        let seen = Seen { header: Some(&header), ..Seen::default() };
        let (index, issuer) = self.issuer_of(&payload).ok_or_else(|| {
            let is_first = self.unknown_issuer.fetch_add(1, Relaxed) == 0
                && !self.issuers.iter().any(|issuer| issuer.fit.is_proven());
            let seen = Seen { issuers: Some(&self.names), is_first, ..seen };
            self.reject(AuthFailure::UnknownIssuer, seen)
        })?;
        let seen = Seen { issuer: Some((&issuer.jwt, &issuer.fit)), ..seen };
        if token.len() > issuer.jwt.max_token_bytes {
            return Err(self.reject(TOO_LONG, seen));
        }
        let algorithm = header.supported_algorithm().and_then(|algorithm| {
            let accepted = issuer.jwt.algorithms.contains(&algorithm);
            if accepted { Ok(algorithm) } else { Err("the algorithm is not accepted") }
        });
        let algorithm =
            algorithm.map_err(|reason| self.reject(AuthFailure::Algorithm(reason), seen))?;
        let token = UnverifiedToken { parts, header: &header, algorithm, payload, earlier_expiry };
        self.verify_of_issuer(request, token, (index, issuer), seen)
    }

    /// Verifies the signature and the claims with the settings of an issuer.
    fn verify_of_issuer(
        &self,
        request: &TokenRequest<'_>,
        token: UnverifiedToken<'_>,
        (index, issuer): (usize, &Issuer),
        seen: Seen<'_>,
    ) -> Result<Attempt, Rejected> {
        let now = ClockReading::now(&issuer.jwt.clock);
        let keys = &issuer.jwt.keys;
        let current = keys.current(now.monotonic);
        let reason = match current.snapshot() {
            _ if request.waited => None,
            None => Some(FetchReason::NoKeys),
            Some(_) => current.due.then_some(FetchReason::KeysAged),
        };
        if let Some(reason) = reason {
            match keys.request_fetch(reason, current.load_number(), now.monotonic) {
                FetchDecision::Proceed => {}
                decision => return without_keys(decision),
            }
        }
        let Some(snapshot) = current.snapshot() else {
            let unavailable = keys.unavailable(now.monotonic);
            return Err(Rejected(AuthFailure::KeysUnavailable(unavailable)));
        };
        let seen = Seen { keys: Some(&snapshot.keys), ..seen };
        let verified = verify_signature(&token, &snapshot.keys);
        if let Err(failure) = verified {
            let is_due = matches!(failure, AuthFailure::Unverified(_)) && !request.waited;
            if is_due {
                // The issuer may have replaced the key under any `kid` or without one.
                let loaded = current.load_number();
                match keys.request_fetch(FetchReason::NotVerified, loaded, now.monotonic) {
                    FetchDecision::Proceed => {}
                    decision => return without_keys(decision),
                }
            }
            return Err(self.reject(failure, seen));
        }

        let checked = {
            let claims = parse_claims(&token.payload);
            let claims = claims.map_err(|failure| self.reject(failure, seen))?;
            let seen = Seen { claims: Some(&claims), ..seen };
            let token_type = token.header.token_type.as_deref();
            let checked = issuer.check_claims(token_type, &claims, &token.payload, now);
            checked.map_err(|failure| self.reject(failure, seen))?
        };
        let verified = checked.with_json(token.payload);
        if issuer.jwt.max_cache_bytes > 0 {
            let epoch = KeyEpoch { issuer: index, generation: snapshot.generation };
            self.cache.insert(request.token, verified.clone(), epoch, now, token.earlier_expiry);
        }
        admit(issuer, request, &verified, now).map_err(|failure| self.reject(failure, seen))
    }

    /// Returns the issuer whose keys may verify a token. One issuer verifies every token, so that the
    /// log can tell another issuer from another key.
    fn issuer_of(&self, payload: &[u8]) -> Option<(usize, &Issuer)> {
        if let [only] = &*self.issuers {
            return Some((0, only));
        }
        let name = unverified_issuer(payload)?;
        self.issuers.iter().enumerate().find(|(_, issuer)| issuer.jwt.has_issuer(&name))
    }

    #[cold]
    fn reject(&self, failure: AuthFailure, seen: Seen<'_>) -> Rejected {
        let clock = self.issuers.first().map(|issuer| issuer.jwt.clock.monotonic());
        self.log.write(&failure, seen, clock.unwrap_or_default());
        Rejected(failure)
    }

    fn accepts_dpop(&self) -> bool {
        self.issuers.iter().any(|issuer| issuer.jwt.dpop.is_some())
    }
}

const TOO_LONG: AuthFailure = AuthFailure::InvalidToken("the token is too long");

/// Returns what becomes of a request that cannot proceed with the keys that it has.
fn without_keys(decision: FetchDecision) -> Result<Attempt, Rejected> {
    match decision {
        FetchDecision::Wait(waiter) => Ok(Attempt::Wait(waiter)),
        FetchDecision::Unavailable(reason) => Err(Rejected(AuthFailure::KeysUnavailable(reason))),
        FetchDecision::KeysChanged | FetchDecision::Proceed => Ok(Attempt::Repeat),
    }
}

/// Verifies the signature. An unknown key and a wrong signature take the same way from here on.
fn verify_signature(token: &UnverifiedToken<'_>, keys: &Keys) -> Result<(), AuthFailure> {
    let candidates = keys.find(token.header.key_id.as_deref(), token.algorithm);
    let verified = token.parts.with_signature(|signature| {
        let mut candidates = candidates?.into_iter().flatten();
        let verified = candidates.any(|key| key.verify_sig(token.parts.signed, signature).is_ok());
        if verified { Ok(()) } else { Err("the signature is invalid") }
    });
    match verified {
        None => Err(AuthFailure::InvalidToken("the signature is not base64url")),
        Some(Err(reason)) => Err(AuthFailure::Unverified(reason)),
        Some(Ok(())) => Ok(()),
    }
}

/// Checks what each request must meet, with a cached token too.
fn admit(
    issuer: &Issuer,
    request: &TokenRequest<'_>,
    verified: &VerifiedToken,
    now: ClockReading,
) -> Result<Attempt, AuthFailure> {
    if issuer.jwt.revocation.as_ref().is_some_and(|is_revoked| is_revoked(&verified.identity)) {
        return Err(AuthFailure::Revoked);
    }
    if verified.binding.is_some() || request.scheme == TokenScheme::Dpop {
        confirm(issuer, request, verified, now).map_err(AuthFailure::Unconfirmed)?;
    }
    Ok(Attempt::Allow(Arc::clone(&verified.identity)))
}

/// Checks that the client has the keys that the token is bound to.
#[cold]
fn confirm(
    issuer: &Issuer,
    request: &TokenRequest<'_>,
    verified: &VerifiedToken,
    now: ClockReading,
) -> Result<(), Unconfirmed> {
    let binding = verified.binding.as_deref();
    if let Some(thumbprint) = binding.and_then(|binding| binding.certificate.as_ref()) {
        let certificate = request.head.extensions().get::<ClientCertificate>();
        if !certificate.is_some_and(|certificate| certificate.has_thumbprint(thumbprint)) {
            return Err(Unconfirmed::Certificate);
        }
    }
    let Some(thumbprint) = binding.and_then(|binding| binding.key.as_ref()) else {
        return match request.scheme {
            TokenScheme::Bearer => Ok(()),
            TokenScheme::Dpop => Err(Unconfirmed::SentAsDpop),
        };
    };
    let dpop = issuer.jwt.dpop.as_ref().ok_or(Unconfirmed::Unsupported)?;
    if request.scheme == TokenScheme::Bearer {
        return Err(Unconfirmed::SentAsBearer);
    }
    let proof = ProofRequest {
        method: request.head.method(),
        uri: request.head.uri(),
        headers: request.head.headers(),
        token: request.token,
        thumbprint,
        leeway: issuer.jwt.leeway,
        wall: now.wall,
        monotonic: now.monotonic,
    };
    dpop.verify(&proof).map_err(Unconfirmed::Proof)
}

impl AuthMethod for TokenVerifier {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        match Credentials::from_headers(head.headers()) {
            Credentials::Token(TokenScheme::Bearer, token)
                if TokenParts::split(token).is_some() =>
            {
                Places::AUTHORIZATION
            }
            Credentials::Token(TokenScheme::Dpop, _) if self.accepts_dpop() => {
                Places::AUTHORIZATION
            }
            _ => Places::NONE,
        }
    }

    fn verify(&self, head: &RequestHead<'_>, waited: bool) -> Verdict {
        match self.verify_head(head, waited) {
            Ok(Attempt::Allow(identity)) => Verdict::Allow(identity),
            Ok(Attempt::Wait(waiter)) => Verdict::Wait(Box::pin(async {
                // The verifier reads the outcome from the source.
                let _outcome = waiter.await;
                Waited::VerifyAgain
            })),
            // Unreachable, because `verify_head` repeats by itself.
            Ok(Attempt::Repeat) | Err(Rejected(AuthFailure::MissingCredentials)) => {
                Verdict::Missing
            }
            Err(Rejected(failure)) => {
                // The log of tokens has the others.
                let (reason, is_logged) = (failure.reason(), !failure.is_without_token());
                let failure = failure.failure();
                if !is_logged {
                    let refusal = failure.refusal().slug();
                    tracing::debug!(refusal, %reason, "request rejected");
                }
                Verdict::Reject(failure)
            }
        }
    }

    fn conceal(&self, headers: &mut HeaderMap) {
        if self.accepts_dpop()
            && let Some(proof) = headers.get_mut(PROOF_HEADER)
        {
            proof.set_sensitive(true);
        }
    }

    /// A proof is used once, so it is of no use to an inner service.
    fn remove_credential_from_headers(&self, headers: &mut HeaderMap) {
        if self.accepts_dpop() {
            headers.remove(PROOF_HEADER);
        }
    }

    fn hint(&self) -> &str {
        "a token in the header `authorization: Bearer TOKEN`"
    }

    fn schemes(&self) -> &'static [&'static str] {
        // RFC 9449 section 7.1.
        if self.accepts_dpop() { &["Bearer", "DPoP"] } else { &["Bearer"] }
    }

    fn facts(&self) -> Facts {
        let facts = self.issuers.iter().map(|issuer| Facts {
            tenant: !issuer.mapping.tenant.is_empty(),
            client: true,
            roles: !issuer.mapping.roles.is_empty(),
            groups: !issuer.mapping.groups.is_empty(),
            plan: !issuer.mapping.plan.is_empty(),
        });
        facts.fold(Facts::default(), Facts::or)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.issuers {
            [only] => fmt::Debug::fmt(&only.jwt, f),
            issuers => f.debug_list().entries(issuers.iter().map(|issuer| &issuer.jwt)).finish(),
        }
    }
}
