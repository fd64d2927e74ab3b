//! Compares a signature with the one that its credential makes.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Method, Uri, header::HOST};

use super::{
    super::timestamp::Timestamp,
    canonical::{PathForm, SignedParts},
    credential::KnownCredential,
    fault::SigV4Fault,
    presented::{ALGORITHM, CredentialScope, PresentedSignature},
};
use crate::{identity::Identity, secret::Secret, sha256::Digest};

/// What a signature must cover, except for the payload's hash.
pub(super) struct Unverified {
    /// The canonical requests without the payload's hash.
    forms: Vec<Vec<u8>>,
    time: Timestamp,
    pub(super) scope: CredentialScope<'static>,
    pub(super) access_key_id: Box<str>,
    session_token: Option<Secret>,
    pub(super) signature: Digest,
}

/// The hash of the payload in the canonical request.
#[derive(Clone, Copy)]
pub(super) enum PayloadHash {
    Of(Digest),
    /// The body is not signed.
    Unsigned,
}

pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

impl Unverified {
    /// Writes the canonical requests of a request.
    pub(super) fn new(
        presented: PresentedSignature<'_>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        paths: &[PathForm],
    ) -> Result<Self, SigV4Fault> {
        let signed_headers: Vec<&str> =
            presented.signed_headers.iter().map(AsRef::as_ref).collect();
        let parts = SignedParts {
            method,
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers,
            host: host(uri, headers)?,
            signed_headers: &signed_headers,
        };
        let forms = parts.canonical_forms(paths)?;
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let CredentialScope { date, region, service } = presented.scope;
        Ok(Self {
            forms,
            time: presented.time,
            scope: CredentialScope {
                date: owned(date),
                region: owned(region),
                service: owned(service),
            },
            access_key_id: presented.access_key_id.into(),
            session_token: presented.session_token.map(|token| Secret::new(token.into_owned())),
            signature: presented.signature,
        })
    }

    /// Returns the identity if the signature is the credential's.
    ///
    /// An unknown access key takes the same steps with another key, so that its time tells no more than
    /// the time of a wrong signature.
    pub(super) fn verify(
        &self,
        credential: Option<&Arc<KnownCredential>>,
        stand_in: &Arc<KnownCredential>,
        payload: PayloadHash,
    ) -> Result<Arc<Identity>, SigV4Fault> {
        let known = credential.unwrap_or(stand_in);
        let hash = match payload {
            PayloadHash::Of(digest) => Cow::Owned(digest.to_hex()),
            PayloadHash::Unsigned => Cow::Borrowed(UNSIGNED),
        };
        let key = known.signing_key(&self.scope);
        let mut matches = false;
        for form in &self.forms {
            let canonical = [form, hash.as_bytes()].concat();
            let expected = key.sign(self.string_to_sign(&canonical).as_bytes());
            matches |= expected.is(&self.signature);
        }
        let token = self.session_token.as_ref().map(Secret::expose);
        let same_token = is_same_token(known.session_token(), token);
        match (credential, same_token, matches) {
            (None, ..) => Err(SigV4Fault::AccessKey),
            (Some(_), false, _) => Err(SigV4Fault::SessionToken),
            (Some(_), true, false) => Err(SigV4Fault::Signature),
            (Some(known), true, true) => Ok(Arc::clone(&known.identity)),
        }
    }

    fn string_to_sign(&self, canonical: &[u8]) -> String {
        let CredentialScope { date, region, service } = &self.scope;
        let (time, hash) = (self.time.as_str(), Digest::of(canonical).to_hex());
        format!("{ALGORITHM}\n{time}\n{date}/{region}/{service}/aws4_request\n{hash}")
    }

    /// Returns the canonical requests and their strings to sign.
    #[cfg(test)]
    pub(super) fn texts(&self, payload: Digest) -> Vec<(String, String)> {
        let hash = payload.to_hex();
        let texts = self.forms.iter().map(|form| {
            let canonical = [form, hash.as_bytes()].concat();
            let string = self.string_to_sign(&canonical);
            (String::from_utf8(canonical).unwrap(), string)
        });
        texts.collect()
    }
}

/// Compares digests, so that the time tells nothing about the bytes of the token.
fn is_same_token(expected: Option<&str>, presented: Option<&str>) -> bool {
    let digest = |token: Option<&str>| Digest::of(token.unwrap_or_default().as_bytes());
    let same = digest(expected).is(&digest(presented));
    same && expected.is_some() == presented.is_some()
}

/// Returns the host of a request: the authority of HTTP/2 or the header `host`. A request whose two
/// hosts differ means different hosts to different readers.
pub(super) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, SigV4Fault> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let mut fields = headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => None,
        (Some(field), None) => {
            Some(field.to_str().map_err(|_| SigV4Fault::HostDiffers)?.trim_ascii())
        }
        (Some(_), Some(_)) => return Err(SigV4Fault::HostDiffers),
    };
    match (authority, field) {
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => {
            Err(SigV4Fault::HostDiffers)
        }
        (_, Some(host)) | (Some(host), None) if !host.is_empty() => Ok(host),
        _ => Err(SigV4Fault::HostAbsent),
    }
}
