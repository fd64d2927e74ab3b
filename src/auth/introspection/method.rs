use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{
    breaker::{Attempt, Breaker},
    endpoint::{Endpoint, EndpointFault},
    rejection_log::RejectionLog,
    requirements::{Accepted, Requirements},
    response::ActiveToken,
};
use crate::{
    auth::{
        credential::Credential,
        failure::Failure,
        lookup::{FAILURE_TTL, Found, LookupBounds, LookupCache},
        method::{AuthMethod, Facts, Places, Verdict, Waited},
        token::TokenParts,
    },
    clock::SharedClock,
    context::RequestHead,
    identity::Identity,
    rejection::{Refusal, Rejection},
    secret::Secret,
};

/// How long results are used again.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheTimes {
    pub(super) active: Duration,
    pub(super) inactive: Duration,
}

/// Opaque tokens of one issuer, as a kind of credential of [`AuthLayer`](crate::auth::AuthLayer). Built
/// by [`Introspection::build`](super::Introspection::build). Clones share their results.
#[derive(Clone)]
pub struct OpaqueTokens(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    requirements: Requirements,
    times: CacheTimes,
    max_token_bytes: usize,
    clock: SharedClock,
    breaker: Breaker,
    log: RejectionLog,
    answers: Arc<LookupCache<Answer>>,
}

/// What is known of a token.
#[derive(Clone)]
enum Answer {
    Accepted {
        identity: Arc<Identity>,
        /// The time since 1970 at which the token is no longer accepted.
        until: Option<Duration>,
    },
    Refused(Failure),
}

impl OpaqueTokens {
    pub(super) fn new(
        endpoint: Endpoint,
        requirements: Requirements,
        times: CacheTimes,
        bounds: LookupBounds,
        max_token_bytes: usize,
        clock: SharedClock,
    ) -> Self {
        let (breaker, answers) = (Breaker::default(), Arc::new(LookupCache::new(bounds)));
        Self(Arc::new(Inner {
            endpoint,
            requirements,
            times,
            max_token_bytes,
            clock,
            breaker,
            log: RejectionLog::default(),
            answers,
        }))
    }
}

impl Inner {
    /// Looks a token up. Each request that waits for it receives the result.
    async fn look_up(self: Arc<Self>, token: Secret) -> Found<Answer> {
        let timeout = self.endpoint.limits.timeout;
        let attempt = match self.breaker.enter(self.clock.monotonic(), timeout) {
            Ok(attempt) => attempt,
            Err(pause) => {
                return Found { value: Answer::Refused(unavailable(pause)), ttl: None };
            }
        };
        let response = self.endpoint.ask(&token).await;
        match response.and_then(ActiveToken::parse) {
            Ok(active) => {
                if self.breaker.succeeded() {
                    tracing::info!(host = self.host(), "tokens can be introspected again");
                }
                self.judge(active)
            }
            Err(fault) => self.failed(attempt, &fault),
        }
    }

    fn judge(&self, active: Option<ActiveToken>) -> Found<Answer> {
        let inactive = self.times.inactive;
        let Some(token) = active else {
            tracing::debug!("an opaque token is not active");
            return Found {
                value: Answer::Refused(Failure::invalid_bearer()),
                ttl: Some(inactive),
            };
        };
        let now = self.wall();
        match self.requirements.check(token, now) {
            Ok(Accepted { identity, until }) => {
                self.log.accepted();
                let left = until.map_or(Duration::MAX, |until| until.saturating_sub(now));
                let value = Answer::Accepted { identity: Arc::new(identity), until };
                Found { value, ttl: Some(left.min(self.times.active)) }
            }
            Err(refused) => {
                self.log.rejected(&refused, &self.requirements, self.clock.monotonic());
                Found {
                    value: Answer::Refused(self.requirements.failure(&refused)),
                    ttl: Some(inactive),
                }
            }
        }
    }

    fn failed(&self, attempt: Attempt, fault: &EndpointFault) -> Found<Answer> {
        if self.breaker.failed(attempt, fault, self.clock.monotonic()) {
            let host = self.host();
            tracing::warn!(host, reason = %fault, "cannot introspect tokens");
        }
        Found { value: Answer::Refused(unavailable(FAILURE_TTL)), ttl: Some(FAILURE_TTL) }
    }

    fn host(&self) -> &str {
        self.endpoint.uri.host().unwrap_or_default()
    }

    /// Returns the time since 1970. An earlier time counts as after every expiry.
    fn wall(&self) -> Duration {
        self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
    }

    /// Returns what a request with a known token gets. The wall clock may have been set since.
    fn resume(&self, answer: Answer) -> Result<Arc<Identity>, Failure> {
        match answer {
            Answer::Accepted { until: Some(until), .. } if self.wall() >= until => {
                Err(self.requirements.failure(&super::requirements::Refused::Expired))
            }
            Answer::Accepted { identity, .. } => Ok(identity),
            Answer::Refused(failure) => Err(failure),
        }
    }
}

impl AuthMethod for OpaqueTokens {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        match bearer_token(head.headers()) {
            Bearer::One(token) if TokenParts::split(token).is_none() => Places::AUTHORIZATION,
            _ => Places::NONE,
        }
    }

    fn verify(&self, head: &RequestHead<'_>, _waited: bool) -> Verdict {
        let inner = &self.0;
        let token = match bearer_token(head.headers()) {
            Bearer::Missing => return Verdict::Missing,
            Bearer::Several => {
                return Verdict::Reject(Failure::multiple_credentials("expected one bearer token"));
            }
            Bearer::One(token) => token,
        };
        let text = std::str::from_utf8(token).ok().filter(|text| is_token(text));
        let Some(text) = text.filter(|text| text.len() <= inner.max_token_bytes) else {
            return Verdict::Reject(Failure::invalid_bearer());
        };
        if TokenParts::split(token).is_some() {
            return Verdict::Reject(Failure::invalid_bearer());
        }
        let digest = inner.answers.digest(token);
        let now = inner.clock.monotonic();
        if let Some(answer) = inner.answers.get(&digest, now) {
            return match inner.resume(answer) {
                Ok(identity) => Verdict::Allow(identity),
                Err(failure) => Verdict::Reject(failure),
            };
        }
        if let Some(pause) = inner.breaker.closed_for(now) {
            return Verdict::Reject(unavailable(pause));
        }
        let look_up = Arc::clone(inner).look_up(Secret::new(text));
        let Some(answer) =
            inner.answers.look_up(digest, inner.clock.clone(), look_up, Answer::memory)
        else {
            return Verdict::Reject(unavailable(FAILURE_TTL));
        };
        let inner = Arc::clone(inner);
        Verdict::Wait(Box::pin(async move {
            match inner.resume(answer.await) {
                Ok(identity) => Waited::Allow(identity),
                Err(failure) => Waited::Reject(failure),
            }
        }))
    }

    fn hint(&self) -> &str {
        "a token in the header `authorization: Bearer TOKEN`"
    }

    fn facts(&self) -> Facts {
        let mapping = &self.0.requirements.mapping;
        Facts {
            tenant: !mapping.tenant.is_empty(),
            client: true,
            roles: !mapping.roles.is_empty(),
            groups: !mapping.groups.is_empty(),
            plan: !mapping.plan.is_empty(),
        }
    }
}

impl From<OpaqueTokens> for Credential {
    fn from(tokens: OpaqueTokens) -> Self {
        Self::other(tokens)
    }
}

impl Answer {
    fn memory(&self) -> usize {
        match self {
            Self::Accepted { identity, .. } => identity.memory(),
            Self::Refused(_) => 512,
        }
    }
}

impl fmt::Debug for OpaqueTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueTokens")
            .field("host", &self.0.host())
            .field("issuer", &self.0.requirements.issuer)
            .field("audiences", &self.0.requirements.audiences)
            .finish_non_exhaustive()
    }
}

/// The bearer token of a request (RFC 6750 section 2.1).
enum Bearer<'a> {
    Missing,
    Several,
    One(&'a [u8]),
}

fn bearer_token(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let Some(value) = values.next() else { return Bearer::Missing };
    if values.next().is_some() {
        return Bearer::Several;
    }
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    let token = token.trim_ascii_start();
    match token {
        _ if !scheme.eq_ignore_ascii_case(b"bearer") || token.is_empty() => Bearer::Missing,
        list if list.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) => Bearer::Several,
        one => Bearer::One(one),
    }
}

/// Returns whether text is a `b64token` (RFC 6750 section 2.1).
fn is_token(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let is_token_byte = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    !bare.is_empty() && bare.bytes().all(is_token_byte)
}

fn unavailable(retry_after: Duration) -> Failure {
    Rejection::new(Refusal::IdentityProviderUnavailable)
        .with_detail("the token cannot be checked now; retry later")
        .with_retry_after(retry_after)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_token_decides() {
        for token in ["abc", "a.b", "A-Z_~+/09==", "ory_at_x.y"] {
            assert!(is_token(token), "{token}");
        }
        for token in ["", "=", "a=b", "a b", "a&b", "a%20", "\u{e9}", "a\"", "a:b"] {
            assert!(!is_token(token), "{token}");
        }
    }
}
