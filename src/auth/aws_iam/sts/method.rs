//! The order of the checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{AUTHORIZATION, HOST},
};

use super::{
    arn::Caller,
    calls::Calls,
    host::{Partition, is_region},
    presigned::{PREFIX, PresignedCall},
    response::CallerIdentity,
    settings::StsIdentity,
};
use crate::{
    auth::{
        credential::Credential,
        failure::Failure,
        line_budget::LineBudget,
        lookup::{FAILURE_TTL, Found, LookupCache},
        method::{AuthMethod, Facts, Places, Verdict, Waited},
    },
    context::RequestHead,
    fetch::FetchFault,
    identity::{Identity, Proof},
    once_a_minute::OnceAMinute,
    rejection::{Refusal, Rejection},
};

/// The issuer in identities.
const ISSUER: &str = "aws-sts";
/// How far the date of a token may be ahead of the server's clock.
const AHEAD: u64 = 5 * 60;
/// How long a refusal is remembered. STS also refuses when it throttles.
const REFUSED_TTL: Duration = Duration::from_secs(10);

impl From<StsIdentity> for Credential {
    fn from(settings: StsIdentity) -> Self {
        let results = Arc::new(LookupCache::new(settings.bounds));
        let shared = Arc::new(Shared {
            settings,
            calls: Calls::default(),
            warned: AtomicBool::new(false),
            log: OnceAMinute::default(),
            lines: LineBudget::default(),
        });
        Self::other(StsMethod { shared, results })
    }
}

struct StsMethod {
    shared: Arc<Shared>,
    results: Arc<LookupCache<Answer>>,
}

struct Shared {
    settings: StsIdentity,
    calls: Calls,
    // Whether the operator was told of a failure since the last call that did not fail.
    warned: AtomicBool,
    log: OnceAMinute,
    lines: LineBudget,
}

/// What is known of a token.
type Answer = Result<Arc<Identity>, Refused>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refused {
    /// STS does not accept the signature, or the token is malformed.
    Invalid,
    Expired,
    /// The caller is known and its account is not allowed.
    Account,
    Unavailable,
    Throttled(Duration),
}

impl AuthMethod for StsMethod {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        let mut values = head.headers().get_all(AUTHORIZATION).iter();
        if values.any(|value| token(value).is_some()) {
            Places::AUTHORIZATION
        } else {
            Places::NONE
        }
    }

    fn verify(&self, head: &RequestHead<'_>, _waited: bool) -> Verdict {
        let mut values = head.headers().get_all(AUTHORIZATION).iter();
        let (Some(value), second) = (values.next(), values.next()) else {
            return Verdict::Missing;
        };
        let Some(token) = token(value) else { return Verdict::Missing };
        if second.is_some() {
            return Verdict::Reject(Failure::second_credential());
        }
        match self.start(token, head) {
            Step::Known(Ok(identity)) => Verdict::Allow(identity),
            Step::Known(Err(refused)) => Verdict::Reject(failure(refused)),
            Step::Wait(answer) => Verdict::Wait(Box::pin(async move {
                match answer.await {
                    Ok(identity) => Waited::Allow(identity),
                    Err(refused) => Waited::Reject(failure(refused)),
                }
            })),
        }
    }

    fn hint(&self) -> &str {
        "a presigned AWS STS call as `Bearer aws-sts-v1.…`"
    }

    fn facts(&self) -> Facts {
        Facts { tenant: true, ..Facts::default() }
    }

    fn remove_credential_from_headers(&self, headers: &mut HeaderMap) {
        // The token identifies its bearer at every gateway with this id, for up to 15 minutes.
        if headers.get(AUTHORIZATION).is_some_and(|value| token(value).is_some()) {
            headers.remove(AUTHORIZATION);
        }
    }
}

/// Returns the token of a header if it has the form.
fn token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(PREFIX)).then_some(token)
}

enum Step {
    Known(Answer),
    Wait(std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl StsMethod {
    fn start(&self, token: &str, head: &RequestHead<'_>) -> Step {
        let settings = &self.shared.settings;
        if token.len() > settings.max_token_bytes {
            return self.refuse("it is too long");
        }
        let digest = self.results.digest(token.as_bytes());
        if let Some(answer) = self.results.get(&digest, settings.clock.monotonic()) {
            return Step::Known(self.shared.still_valid(answer));
        }
        let call = match PresignedCall::from_token(token, settings.header.as_str()) {
            Ok(call) => call,
            Err(reason) => return self.refuse(reason),
        };
        let until = match settings.valid_until(&call) {
            Ok(until) => until,
            Err(refused) => {
                let is_early = refused == Refused::Invalid;
                self.shared.rejected(if is_early {
                    "its date is ahead of the server's clock"
                } else {
                    "it has expired"
                });
                return Step::Known(Err(refused));
            }
        };
        if !settings.calls_region(&call) {
            return self.refuse("no account of its partition is allowed, or its region is not");
        }
        let address = settings.peer.of(head.extensions(), head.headers()).unwrap_or_default();
        let ask = Arc::clone(&self.shared).ask(call, until, address);
        let memory = |answer: &Answer| answer.as_ref().map_or(0, |identity| identity.memory());
        match self.results.look_up(digest, settings.clock.clone(), ask, memory) {
            Some(answer) => Step::Wait(Box::pin(answer)),
            None => Step::Known(Err(Refused::Unavailable)),
        }
    }

    fn refuse(&self, reason: &'static str) -> Step {
        self.shared.rejected(reason);
        Step::Known(Err(Refused::Invalid))
    }
}

impl StsIdentity {
    /// Returns the last second in which a call is accepted.
    fn valid_until(&self, call: &PresignedCall) -> Result<u64, Refused> {
        let now = self.clock.unix_seconds();
        if call.issued_at > now.saturating_add(AHEAD) {
            return Err(Refused::Invalid);
        }
        let age = self.max_age.as_secs();
        let until = call.issued_at.saturating_add(call.expires.map_or(age, |own| own.min(age)));
        if now > until { Err(Refused::Expired) } else { Ok(until) }
    }

    /// Returns whether an accepted caller may come from this host.
    fn calls_region(&self, call: &PresignedCall) -> bool {
        let is_listed = match &self.regions {
            Some(regions) => regions.contains(&call.region),
            None => is_region(&call.region),
        };
        is_listed && self.accounts.iter().any(|(own, _)| *own == call.host.partition)
    }

    fn request(&self, call: &PresignedCall) -> Option<Request<()>> {
        let host = &call.host.name;
        let uri = match &self.endpoint {
            None => Uri::builder().scheme("https").authority(&**host),
            Some(endpoint) => Uri::builder()
                .scheme(endpoint.scheme()?.clone())
                .authority(endpoint.authority()?.clone()),
        };
        let uri = uri.path_and_query(format!("/?{}", call.query)).build().ok()?;
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(self.header.clone(), self.server_id.clone());
        if self.endpoint.is_some() {
            headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        }
        Some(request)
    }

    /// Returns the identity of a response of STS.
    fn identity(
        &self,
        call: &PresignedCall,
        until: u64,
        caller: CallerIdentity,
    ) -> Result<Arc<Identity>, Refused> {
        let partition: Partition = call.host.partition;
        let CallerIdentity { account, arn, user_id } = caller;
        let named = Caller::from_arn(&arn, partition, &account).ok_or_else(|| {
            tracing::warn!("STS has returned an ARN of an unknown form");
            Refused::Invalid
        })?;
        if !self.accounts.contains(&(partition, account.as_str().into())) {
            tracing::info!(account, partition = partition.as_str(), "AWS account not allowed");
            return Err(Refused::Account);
        }
        let mut identity = Identity::new(Proof::AwsIam, ISSUER, named.subject)
            .with_tenant(account.as_str())
            .with_scopes(self.scopes.iter().cloned())
            .with_credential_id(call.access_key_id.clone())
            .with_claim("account", account)
            .with_claim("arn", arn)
            .with_claim("user_id", user_id)
            .with_expires_at(UNIX_EPOCH + Duration::from_secs(until));
        if let Some(session) = named.session {
            identity = identity.with_claim("session", String::from(session));
        }
        Ok(Arc::new(identity))
    }
}

impl Shared {
    /// Logs why a token is rejected.
    fn rejected(&self, reason: &'static str) {
        if let Some(suppressed) = self.lines.take(self.settings.clock.monotonic(), false) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(reason, suppressed, "STS token rejected");
        }
    }

    /// Checks a remembered identity against the wall clock.
    fn still_valid(&self, answer: Answer) -> Answer {
        let identity = answer?;
        let is_over = identity.expires_at().is_some_and(|at| self.settings.clock.wall() > at);
        if is_over { Err(Refused::Expired) } else { Ok(identity) }
    }

    /// Calls STS. The first of the requests with one token does this for all of them.
    async fn ask(
        self: Arc<Self>,
        call: PresignedCall,
        until: u64,
        address: [u8; 16],
    ) -> Found<Answer> {
        let settings = &self.settings;
        let now = settings.clock.monotonic();
        if let Err(wait) = self.calls.enter(address, settings.max_calls, now) {
            tracing::debug!("STS is not called: the address has had its calls of this minute");
            return Found { value: Err(Refused::Throttled(wait)), ttl: None };
        }
        let answer = self.call(&call, until).await;
        let left = until.saturating_sub(settings.clock.unix_seconds());
        let ttl = match &answer {
            Ok(_) => Duration::from_secs(left),
            Err(Refused::Unavailable) => FAILURE_TTL,
            Err(_) => REFUSED_TTL,
        };
        Found { value: answer, ttl: Some(ttl) }
    }

    async fn call(&self, call: &PresignedCall, until: u64) -> Answer {
        let settings = &self.settings;
        let request = settings.request(call).ok_or(Refused::Invalid)?;
        let reply = match (settings.get)(request, settings.limits).await {
            Ok(reply) => reply,
            Err(FetchFault::TooLarge) => return Err(self.failed(call, "its response is too large")),
            Err(FetchFault::Timeout) => return Err(self.failed(call, "it did not respond in time")),
            Err(_) => return Err(self.failed(call, "it cannot be reached")),
        };
        match reply.status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.rejected("STS does not accept its signature");
                self.works();
                return Err(Refused::Invalid);
            }
            status if status.is_redirection() => {
                return Err(self.failed(call, "it redirects, and redirects are not followed"));
            }
            _ => return Err(self.failed(call, "its status is an error")),
        }
        let Some(caller) = CallerIdentity::parse(reply.body) else {
            return Err(self.failed(call, "its response is not the expected JSON"));
        };
        self.works();
        settings.identity(call, until, caller)
    }

    /// Tells the operator of a change, at most once a minute. A client chooses the region, and it may
    /// choose one that does not exist, so the line names the host.
    fn failed(&self, call: &PresignedCall, reason: &'static str) -> Refused {
        let host = &*call.host.name;
        let known = self.warned.load(Relaxed);
        if !known && self.log.is_due(self.settings.clock.monotonic()) {
            self.warned.store(true, Relaxed);
            tracing::warn!(
                host,
                reason,
                "STS cannot verify a caller; further failures are logged at debug"
            );
        } else {
            tracing::debug!(host, reason, "STS cannot verify a caller");
        }
        Refused::Unavailable
    }

    fn works(&self) {
        if self.warned.swap(false, Relaxed) {
            tracing::info!("STS verifies callers again");
        }
    }
}

fn failure(refused: Refused) -> Failure {
    match refused {
        Refused::Invalid => Failure::invalid_bearer(),
        Refused::Expired => {
            let rejection = Rejection::new(Refusal::ExpiredToken);
            let rejection = rejection.with_detail("the bearer token has expired");
            Failure::bearer(rejection, Some("invalid_token"))
        }
        Refused::Account => Rejection::new(Refusal::Forbidden)
            .with_detail("this AWS account may not call this service")
            .into(),
        Refused::Unavailable => Rejection::new(Refusal::IdentityProviderUnavailable)
            .with_detail("AWS STS cannot be asked now; retry later")
            .with_retry_after(FAILURE_TTL)
            .into(),
        Refused::Throttled(wait) => Rejection::new(Refusal::Throttled)
            .with_detail(
                "too many new tokens from this address; use a token again while it is valid",
            )
            .with_retry_after(wait)
            .into(),
    }
}

impl std::fmt::Debug for StsMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.shared.settings, f)
    }
}
