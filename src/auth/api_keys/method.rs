//! Verifies the key of a request.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName};

use super::{
    digest::ApiKeyDigest,
    entry::{KeyEntry, KeyFault, Now},
    file::OpenFile,
    key::{ApiKey, ApiKeyForm, MAX_BYTES},
    log::LogLimit,
    places::{KeyPlaces, RequestKey},
    store::{OpenStore, StoreResult, Unavailable},
    table::KeyTable,
};
use crate::{
    auth::{
        failure::Failure,
        lookup::FAILURE_TTL,
        method::{AuthMethod, Facts, Places, Verdict, Waited},
    },
    clock::SharedClock,
    context::RequestHead,
    identity::Identity,
    rejection::{Refusal, Rejection},
};

/// A 401 needs a challenge (RFC 9110 section 15.5.2), and no scheme is registered for keys in a header of
/// their own. Several gateways use this name.
const HEADER_SCHEME: &str = "ApiKey";

/// Where the keys of a method are.
pub(super) enum OpenSource {
    Memory(KeyTable),
    File(OpenFile),
    Store(OpenStore),
}

pub(super) struct ApiKeyMethod {
    pub(super) places: KeyPlaces,
    pub(super) source: OpenSource,
    pub(super) clock: SharedClock,
    pub(super) hint: String,
    pub(super) judge: Arc<Judge>,
}

impl ApiKeyMethod {
    fn verify_key(&self, key: &[u8]) -> Verdict {
        let now = Now::of(&self.clock);
        if key.len() > MAX_BYTES {
            return Verdict::Reject(self.judge.refuse(KeyFault::Malformed, None, now));
        }
        match &self.source {
            OpenSource::Memory(table) => self.verify_in(table, key, now),
            OpenSource::File(file) => self.verify_in(&file.current(now.monotonic), key, now),
            OpenSource::Store(store) => self.verify_by(store, key, now),
        }
    }

    fn verify_in(&self, table: &KeyTable, key: &[u8], now: Now) -> Verdict {
        let digest = ApiKeyDigest::of(key);
        let (entry, loaded) = table.find(&digest, now);
        into_verdict(self.judge.decide(entry, loaded, KeyOfRequest { key, digest }, now))
    }

    fn verify_by(&self, store: &OpenStore, key: &[u8], now: Now) -> Verdict {
        let (name, digest) = (store.name(key), ApiKeyDigest::of(key));
        if let Some(result) = store.get(&name, now) {
            return into_verdict(self.judge.decide_result(&result, key, digest, now));
        }
        let Some(look_up) = store.look_up(name, digest) else {
            return Verdict::Reject(self.judge.unavailable(&Unavailable::Busy, now));
        };
        let (judge, clock) = (Arc::clone(&self.judge), self.clock.clone());
        // The request cannot lend its key for so long.
        let key = ApiKey::dangerous_weak(String::from_utf8_lossy(key));
        Verdict::Wait(Box::pin(async move {
            let result = look_up.await;
            let key = key.as_ref().map_or("", ApiKey::expose).as_bytes();
            match judge.decide_result(&result, key, digest, Now::of(&clock)) {
                Ok(identity) => Waited::Allow(identity),
                Err(failure) => Waited::Reject(failure),
            }
        }))
    }
}

fn into_verdict(decision: Result<Arc<Identity>, Failure>) -> Verdict {
    match decision {
        Ok(identity) => Verdict::Allow(identity),
        Err(failure) => Verdict::Reject(failure),
    }
}

impl AuthMethod for ApiKeyMethod {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        self.places.of(head.headers())
    }

    fn header(&self) -> Option<&HeaderName> {
        Some(&self.places.header)
    }

    fn verify(&self, head: &RequestHead<'_>, _waited: bool) -> Verdict {
        match self.places.find(head.headers()) {
            RequestKey::Missing => Verdict::Missing,
            RequestKey::Multiple => Verdict::Reject(self.judge.refuse_several()),
            RequestKey::One { key, .. } => self.verify_key(key),
        }
    }

    fn hint(&self) -> &str {
        &self.hint
    }

    fn schemes(&self) -> &'static [&'static str] {
        if self.places.bearer { &["Bearer"] } else { &[HEADER_SCHEME] }
    }

    fn ignores_authorization(&self) -> bool {
        !self.places.bearer
    }

    fn facts(&self) -> Facts {
        Facts { tenant: true, roles: true, plan: true, ..Facts::default() }
    }

    fn conceal(&self, headers: &mut HeaderMap) {
        self.places.conceal(headers);
    }

    fn remove_credential_from_headers(&self, headers: &mut HeaderMap) {
        self.places.remove(headers);
    }
}

impl fmt::Debug for ApiKeyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("header", &self.places.header)
            .field("bearer", &self.places.bearer)
            .field("prefix", &self.places.prefix)
            .field("issuer", &self.judge.issuer)
            .finish_non_exhaustive()
    }
}

/// Decides on keys that were looked up and writes the rejections.
pub(super) struct Judge {
    pub(super) issuer: Box<str>,
    pub(super) prefix: Option<Box<str>>,
    /// Whether a key may be a bearer token. Only then the challenge of RFC 6750 makes sense.
    pub(super) bearer: bool,
    pub(super) log: LogLimit,
}

/// The key of a request and its digest.
#[derive(Clone, Copy)]
struct KeyOfRequest<'a> {
    key: &'a [u8],
    digest: ApiKeyDigest,
}

impl Judge {
    /// Unknown, disabled and expired keys take one path and get one response.
    fn decide(
        &self,
        entry: Option<&KeyEntry>,
        loaded: Now,
        request: KeyOfRequest<'_>,
        now: Now,
    ) -> Result<Arc<Identity>, Failure> {
        let fault = match entry {
            None => Some(self.fault_of_unknown(request.key)),
            Some(entry) => entry.fault(now, loaded),
        };
        match (fault, entry) {
            (None, Some(entry)) => Ok(entry.identity(&self.issuer, &request.digest)),
            (fault, entry) => {
                let fault = fault.unwrap_or(KeyFault::Unknown);
                Err(self.refuse(fault, Some((request.digest, entry)), now))
            }
        }
    }

    fn decide_result(
        &self,
        result: &StoreResult,
        key: &[u8],
        digest: ApiKeyDigest,
        now: Now,
    ) -> Result<Arc<Identity>, Failure> {
        let request = KeyOfRequest { key, digest };
        match result {
            StoreResult::Known(known) => self.decide(Some(&known.entry), known.found, request, now),
            StoreResult::Unknown => self.decide(None, now, request, now),
            StoreResult::Unavailable(reason) => Err(self.unavailable(reason, now)),
        }
    }

    fn fault_of_unknown(&self, key: &[u8]) -> KeyFault {
        let form = self
            .prefix
            .as_deref()
            .and_then(|prefix| str::from_utf8(key).ok().map(|key| ApiKey::form(key, prefix)));
        if form == Some(ApiKeyForm::Mistyped) { KeyFault::Mistyped } else { KeyFault::Unknown }
    }

    /// Rejects a key. The log alone says why.
    fn refuse(
        &self,
        fault: KeyFault,
        key: Option<(ApiKeyDigest, Option<&KeyEntry>)>,
        now: Now,
    ) -> Failure {
        let credential_id = key.map(|(digest, _)| digest.public_id());
        let id = key.and_then(|(_, entry)| entry).map(KeyEntry::id);
        let (refusal, reason) = (Refusal::InvalidApiKey, fault.reason());
        if self.log.key_is_due(fault, now.monotonic) {
            tracing::warn!(
                refusal = refusal.slug(),
                reason,
                credential_id,
                id,
                "request rejected; further ones of this minute are logged at debug"
            );
        } else {
            tracing::debug!(
                refusal = refusal.slug(),
                reason,
                credential_id,
                id,
                "request rejected"
            );
        }
        let rejection = Rejection::new(refusal).with_detail("invalid API key");
        self.challenge(rejection, "invalid_token")
    }

    fn refuse_several(&self) -> Failure {
        let rejection = Rejection::new(Refusal::InvalidRequest)
            .with_detail("expected one API key and no other credential");
        self.challenge(rejection, "invalid_request")
    }

    fn challenge(&self, rejection: Rejection, error: &'static str) -> Failure {
        if self.bearer {
            return Failure::bearer(rejection, Some(error));
        }
        Failure::challenge(rejection, HEADER_SCHEME, None)
    }

    fn unavailable(&self, reason: &Unavailable, now: Now) -> Failure {
        if self.log.store_is_due(now.monotonic) {
            tracing::warn!(%reason, "the store of API keys has no result; requests are rejected");
        } else {
            tracing::debug!(%reason, "the store of API keys has no result");
        }
        Rejection::new(Refusal::IdentityProviderUnavailable)
            .with_detail("the API key cannot be checked now; retry later")
            .with_retry_after(FAILURE_TTL)
            .into()
    }
}
