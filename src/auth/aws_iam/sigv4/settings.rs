use std::{fmt, sync::Arc, time::Duration};

use super::{
    canonical::PathForm,
    credential::{KnownCredential, SigningCredential},
    error::SigningCredentialError,
    replays::UsedSignatures,
    store::{Credentials, SigningCredentials},
};
use crate::{clock::SharedClock, secret::Secret};

/// The issuer in identities.
const ISSUER: &str = "aws-sigv4";

/// Accepts requests that are signed by AWS Signature Version 4 with credentials that you issue.
///
/// See the [module docs](super::super#signature-version-4) for the rules and an example. Needs a
/// [`SignedBodyLayer`](super::super::SignedBodyLayer) outside of `AuthLayer`.
#[derive(Clone)]
pub struct SigV4 {
    pub(super) region: Box<str>,
    pub(super) service: Box<str>,
    pub(super) credentials: Credentials,
    /// Signs in place of an unknown credential.
    pub(super) stand_in: Arc<KnownCredential>,
    pub(super) paths: Vec<PathForm>,
    /// `None` accepts every host that is signed.
    pub(super) hosts: Option<Vec<Box<str>>>,
    pub(super) leeway: Duration,
    pub(super) max_expires: Duration,
    pub(super) unsigned_payload: bool,
    pub(super) used: Option<Arc<UsedSignatures>>,
    pub(super) clock: SharedClock,
}

impl SigV4 {
    /// Accepts signatures for `region` and the service `execute-api` with one of `credentials`.
    ///
    /// The region is any name that you and your clients agree on, such as `us-east-1`.
    ///
    /// # Errors
    ///
    /// Returned when two credentials have one id and when the file of credentials cannot be read.
    pub fn new(
        region: impl Into<Box<str>>,
        credentials: SigningCredentials,
    ) -> Result<Self, SigningCredentialError> {
        // Only its time matters, because its signatures are refused whether they match or not. It has
        // the length of AWS's secrets.
        let secret = Secret::new("0123456789012345678901234567890123456789");
        let stand_in = SigningCredential::new("unknown", secret)?;
        Ok(Self {
            region: region.into(),
            service: "execute-api".into(),
            credentials: credentials.open(ISSUER)?,
            stand_in: Arc::new(KnownCredential::new(stand_in, ISSUER)),
            paths: vec![PathForm::Encoded],
            hosts: None,
            leeway: Duration::from_secs(5 * 60),
            max_expires: Duration::from_secs(15 * 60),
            unsigned_payload: false,
            used: None,
            clock: SharedClock::default(),
        })
    }

    /// Sets the service in the credential scope. Defaults to `execute-api`, as in API Gateway.
    ///
    /// Clients of the service `s3` sign the path as it is on the wire. Clients of every other service
    /// encode it once more.
    #[must_use]
    pub fn service(mut self, service: impl Into<Box<str>>) -> Self {
        self.service = service.into();
        let encoded = if &*self.service == "s3" { PathForm::Verbatim } else { PathForm::Encoded };
        if let Some(first) = self.paths.first_mut() {
            *first = encoded;
        }
        self
    }

    /// Accepts signatures for these hosts only, such as `gateway.example` or `gateway.example:8443`. By
    /// default each host that is signed is accepted.
    ///
    /// A server that receives a signed request can send it on to this gateway, with the host that was
    /// signed. Name your hosts if clients sign requests to other servers with the same credential, region
    /// and service. Hosts are compared with their port as clients send it. The case of letters does not
    /// count.
    #[must_use]
    pub fn hosts<T: Into<Box<str>>>(mut self, hosts: impl IntoIterator<Item = T>) -> Self {
        self.hosts = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Sets how far the date of a request may be from the server's clock. Defaults to 5 minutes.
    ///
    /// A captured request can be repeated for this time. See [`reject_replays`](Self::reject_replays).
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the maximum of `X-Amz-Expires` in presigned URLs. Defaults to 15 minutes. Longer ones are
    /// rejected.
    #[must_use]
    pub const fn max_expires(mut self, expires: Duration) -> Self {
        self.max_expires = expires;
        self
    }

    /// Rejects a signature that was used before. By default a request can be repeated while its date is
    /// accepted.
    ///
    /// Remembers at most `max_entries` signatures of about 200 bytes each. Further requests are rejected
    /// with `overloaded`, so take at least the number of signed requests in 10 minutes. Two equal
    /// requests that a client signs within one second have one signature: the second one is rejected.
    /// Each replica remembers its own.
    #[must_use]
    pub fn reject_replays(mut self, max_entries: usize) -> Self {
        self.used = Some(Arc::new(UsedSignatures::new(max_entries)));
        self
    }

    /// Accepts `UNSIGNED-PAYLOAD`: requests whose body anyone on the way can replace.
    #[must_use]
    pub const fn dangerous_unsigned_payload(mut self) -> Self {
        self.unsigned_payload = true;
        self
    }

    /// Also accepts a signature of the path without dot segments and repeated slashes, as most SDKs
    /// make it.
    ///
    /// One signature is then valid for `/a/b`, `//a/b` and `/a/x/../b`. By default a client must send
    /// the path that it signs.
    #[must_use]
    pub fn dangerous_normalized_paths(mut self) -> Self {
        if !self.paths.contains(&PathForm::Normalized) {
            self.paths.push(PathForm::Normalized);
        }
        self
    }

    /// Sets the clock. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for SigV4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigV4")
            .field("region", &self.region)
            .field("service", &self.service)
            .field("hosts", &self.hosts)
            .field("leeway", &self.leeway)
            .field("max_expires", &self.max_expires)
            .field("unsigned_payload", &self.unsigned_payload)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{super::presented::CredentialScope, *};

    #[test]
    fn key_of_an_unknown_credential_is_derived_as_those_of_known_ones() {
        let sigv4 = SigV4::new("us-east-1", SigningCredentials::new([])).unwrap();
        let sign = |region| {
            let [date, region, service] = ["20150830", region, "s3"].map(Cow::Borrowed);
            let scope = CredentialScope { date, region, service };
            sigv4.stand_in.signing_key(&scope).sign(b"")
        };
        assert_ne!(sign("us-east-1"), sign("us-east-2"));
    }
}
