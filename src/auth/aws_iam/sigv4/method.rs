//! The order of the checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, Uri, header::AUTHORIZATION, uri::PathAndQuery};

use super::{
    super::{
        encoding::{decode, parameters},
        signed_body::{BodyFault, SharedBody},
    },
    check::{PayloadHash, UNSIGNED, Unverified, host},
    credential::KnownCredential,
    fault::SigV4Fault,
    lookup::{Answer, Lookup},
    presented::{ALGORITHM, Form, PresentedSignature},
    rejections,
    replays::Use,
    settings::SigV4,
};
use crate::{
    auth::{
        credential::Credential,
        failure::Failure,
        line_budget::LineBudget,
        method::{AuthMethod, Facts, Places, Verdict, Waited},
    },
    context::RequestHead,
    identity::Identity,
    sha256::Digest,
};

impl From<SigV4> for Credential {
    fn from(settings: SigV4) -> Self {
        let settings = Arc::new(settings);
        Self::other(SigV4Method { settings, log: Arc::default() })
    }
}

#[derive(Debug)]
struct SigV4Method {
    settings: Arc<SigV4>,
    log: Arc<Log>,
}

/// Tells the operator why requests are rejected.
#[derive(Debug, Default)]
struct Log {
    // Whether the operator was told that the other layer is missing.
    warned: AtomicBool,
    lines: LineBudget,
}

impl AuthMethod for SigV4Method {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        match Form::of(head.uri(), head.headers()) {
            None => Places::NONE,
            Some(Form::Header) => Places::AUTHORIZATION,
            Some(Form::Presigned) => Places::QUERY,
            Some(Form::Both) => Places::AUTHORIZATION | Places::QUERY,
        }
    }

    fn verify(&self, head: &RequestHead<'_>, _waited: bool) -> Verdict {
        if Form::of(head.uri(), head.headers()).is_none() {
            return Verdict::Missing;
        }
        let now = || self.settings.clock.monotonic();
        self.start(head).unwrap_or_else(|fault| Verdict::Reject(self.log.reject(fault, now())))
    }

    fn hint(&self) -> &str {
        "an AWS Signature Version 4"
    }

    fn schemes(&self) -> &'static [&'static str] {
        &[ALGORITHM]
    }

    fn facts(&self) -> Facts {
        Facts { tenant: true, ..Facts::default() }
    }

    fn conceal(&self, headers: &mut HeaderMap) {
        if let Some(token) = headers.get_mut("x-amz-security-token") {
            token.set_sensitive(true);
        }
    }

    fn remove_credential_from_headers(&self, headers: &mut HeaderMap) {
        // As API Gateway does. The credential of another kind stays.
        let is_signature = headers.get(AUTHORIZATION).is_some_and(|value| {
            value.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AWS4-"))
        });
        if is_signature {
            headers.remove(AUTHORIZATION);
        }
        headers.remove("x-amz-security-token");
    }

    fn remove_credential_from_query(&self, uri: &mut Uri) {
        if Form::of(uri, &HeaderMap::new()).is_some()
            && let Some(stripped) = without_signature(uri)
        {
            *uri = stripped;
        }
    }
}

impl SigV4Method {
    fn start(&self, head: &RequestHead<'_>) -> Result<Verdict, SigV4Fault> {
        let body = head.extensions().get::<Arc<SharedBody>>();
        let body = body.ok_or(SigV4Fault::NoSignedBodyLayer)?;
        let headers = head.headers();
        let presented = PresentedSignature::of(body.uri(), headers)?;
        let settings = &self.settings;
        settings.check_host(host(body.uri(), headers)?)?;
        let until = settings.check_head(&presented)?;
        let plan = settings.plan(&presented, body)?;
        let (method, paths) = (head.method(), &settings.paths);
        let unverified = Unverified::new(presented, method, body.uri(), headers, paths)?;
        let lookup = settings.credentials.find(
            &unverified.access_key_id,
            &unverified.scope,
            &settings.clock,
        );
        let check = Check {
            settings: Arc::clone(settings),
            log: Arc::clone(&self.log),
            unverified,
            body: Arc::clone(body),
            plan,
            until,
        };
        let known = match lookup {
            Lookup::Asked(_) => return Ok(check.wait(lookup)),
            Lookup::Known(answer) => answer.map_err(|_failed| SigV4Fault::StoreUnavailable)?,
        };
        match plan {
            Plan::Read if known.is_some() => Ok(check.wait(Lookup::Known(Ok(known)))),
            // The body of a stranger is not read.
            plan => check.decide(known.as_ref(), plan.hash()).map(Verdict::Allow),
        }
    }
}

impl Log {
    /// Returns the response and logs the cause.
    fn reject(&self, fault: SigV4Fault, now: Duration) -> Failure {
        if fault == SigV4Fault::NoSignedBodyLayer && !self.warned.swap(true, Relaxed) {
            tracing::error!(
                "signed requests are rejected: put a `SignedBodyLayer` outside of `AuthLayer` and of \
                 every layer that reads the body"
            );
        }
        if let Some(suppressed) = self.lines.take(now, false) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(cause = %fault, suppressed, "signed request rejected");
        }
        rejections::failure(fault)
    }
}

/// How the payload's hash is known.
#[derive(Clone, Copy)]
enum Plan {
    /// The client has declared it, and the body must have it.
    Declared(Digest),
    Unsigned,
    /// The body must be read.
    Read,
}

impl Plan {
    const fn hash(self) -> PayloadHash {
        match self {
            Self::Declared(digest) => PayloadHash::Of(digest),
            Self::Unsigned => PayloadHash::Unsigned,
            Self::Read => PayloadHash::Of(Digest::EMPTY),
        }
    }
}

impl SigV4 {
    /// Checks that the request was signed for this server.
    fn check_host(&self, host: &str) -> Result<(), SigV4Fault> {
        let is_own = |hosts: &Vec<Box<str>>| hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        if self.hosts.as_ref().is_none_or(is_own) { Ok(()) } else { Err(SigV4Fault::OtherHost) }
    }

    /// Checks scope and date. Returns the last second in which the signature is valid.
    fn check_head(&self, presented: &PresentedSignature<'_>) -> Result<u64, SigV4Fault> {
        if *presented.scope.region != *self.region || *presented.scope.service != *self.service {
            return Err(SigV4Fault::OtherScope);
        }
        let (now, at) = (self.clock.unix_seconds(), presented.time.unix_seconds());
        if at > now.saturating_add(self.leeway.as_secs()) {
            return Err(SigV4Fault::NotYetValid);
        }
        let validity = match presented.expires {
            Some(expires) if expires > self.max_expires.as_secs() => {
                return Err(SigV4Fault::ExpiresTooLate);
            }
            Some(expires) => expires,
            None => self.leeway.as_secs(),
        };
        let until = at.saturating_add(validity);
        if now > until { Err(SigV4Fault::Expired) } else { Ok(until) }
    }

    fn plan(
        &self,
        presented: &PresentedSignature<'_>,
        body: &SharedBody,
    ) -> Result<Plan, SigV4Fault> {
        match presented.payload_hash.as_deref() {
            None if body.starts_empty() => Ok(Plan::Declared(Digest::EMPTY)),
            None => Ok(Plan::Read),
            Some(UNSIGNED) if self.unsigned_payload => Ok(Plan::Unsigned),
            Some(UNSIGNED) => Err(SigV4Fault::UnsignedPayload),
            Some(hash) if hash.starts_with("STREAMING-") => Err(SigV4Fault::StreamingPayload),
            Some(hash) => Digest::from_hex(hash.as_bytes())
                .map(Plan::Declared)
                .ok_or(SigV4Fault::Malformed("`x-amz-content-sha256`")),
        }
    }
}

/// A request whose head is checked.
struct Check {
    settings: Arc<SigV4>,
    log: Arc<Log>,
    unverified: Unverified,
    body: Arc<SharedBody>,
    plan: Plan,
    until: u64,
}

impl Check {
    /// Waits for the credential or for the body.
    fn wait(self, lookup: Lookup) -> Verdict {
        Verdict::Wait(Box::pin(async move {
            match self.finish(lookup).await {
                Ok(identity) => Waited::Allow(identity),
                Err(failure) => Waited::Reject(failure),
            }
        }))
    }

    async fn finish(self, lookup: Lookup) -> Result<Arc<Identity>, Failure> {
        let answer: Answer = match lookup {
            Lookup::Known(answer) => answer,
            Lookup::Asked(asked) => asked.await,
        };
        let failed = |fault| self.log.reject(fault, self.settings.clock.monotonic());
        let known = answer.map_err(|_failed| failed(SigV4Fault::StoreUnavailable))?;
        let hash = match (self.plan, &known) {
            (Plan::Read, Some(_)) => match Arc::clone(&self.body).buffer().await {
                Ok(digest) => PayloadHash::Of(digest),
                Err(BodyFault::Unreadable(rejection)) => return Err(rejection.into()),
                Err(fault) => return Err(failed(fault.into())),
            },
            // The body of a stranger is not read.
            (plan, _) => plan.hash(),
        };
        self.decide(known.as_ref(), hash).map_err(failed)
    }

    /// Verifies the signature, then makes sure of the body, then notes the signature.
    fn decide(
        &self,
        known: Option<&Arc<KnownCredential>>,
        payload: PayloadHash,
    ) -> Result<Arc<Identity>, SigV4Fault> {
        let settings = &self.settings;
        let identity = self.unverified.verify(known, &settings.stand_in, payload)?;
        if let Plan::Declared(digest) = self.plan {
            self.body.promise(digest)?;
        }
        if let Some(used) = &settings.used {
            let now = settings.clock.unix_seconds();
            // The body may have arrived late. The set forgets expired signatures.
            if now > self.until {
                return Err(SigV4Fault::Expired);
            }
            match used.note(self.unverified.signature, self.until, now) {
                Use::First => {}
                Use::Repeated => return Err(SigV4Fault::Replayed),
                Use::Full => {
                    tracing::warn!("`SigV4::reject_replays` has no room: raise its maximum");
                    return Err(SigV4Fault::ReplaysFull);
                }
            }
        }
        Ok(identity)
    }
}

impl From<BodyFault> for SigV4Fault {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Mismatch => Self::PayloadHash,
            // A layer between has read the body, or its order is wrong.
            BodyFault::Taken | BodyFault::Unreadable(_) => Self::NoSignedBodyLayer,
        }
    }
}

/// Returns the URI without the parameters of a presigned request.
fn without_signature(uri: &Uri) -> Option<Uri> {
    const NAMES: [&[u8]; 8] = [
        b"x-amz-algorithm",
        b"x-amz-content-sha256",
        b"x-amz-credential",
        b"x-amz-date",
        b"x-amz-expires",
        b"x-amz-security-token",
        b"x-amz-signature",
        b"x-amz-signedheaders",
    ];
    let is_signature = |name: &str| {
        decode(name).is_some_and(|name| NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)))
    };
    let query = uri.query()?;
    let names = parameters(query).map(|(name, _)| name);
    let kept = query.split('&').zip(names).filter(|(_, name)| !is_signature(name));
    let kept = kept.map(|(piece, _)| piece).collect::<Vec<_>>().join("&");
    let separator = if kept.is_empty() { "" } else { "?" };
    let target = format!("{}{separator}{kept}", uri.path());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_signature_are_removed_from_the_query() {
        let of = |uri: &str| without_signature(&uri.parse().unwrap()).unwrap().to_string();
        assert_eq!(of("/a%2F?b=1&X-Amz-Signature=0&c&X%2DAmz-Date=1&&d=+"), "/a%2F?b=1&c&&d=+");
        assert_eq!(of("http://a.example/b?X-Amz-Algorithm=x"), "http://a.example/b");
    }
}
