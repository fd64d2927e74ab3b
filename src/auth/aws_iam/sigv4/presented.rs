//! The signature of a request as the client presents it.

use std::borrow::Cow;

use http::{HeaderMap, Uri, header::AUTHORIZATION};

use super::{
    super::{
        encoding::{decode, parameters},
        timestamp::Timestamp,
    },
    fault::SigV4Fault,
};
use crate::sha256::Digest;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// The most bytes of an `authorization` header. A session token is in a header of its own.
const MAX_HEADER: usize = 8 * 1024;
/// The most bytes of a query.
const MAX_QUERY: usize = 32 * 1024;
const MAX_PARAMETERS: usize = 256;
const MAX_SIGNED_HEADERS: usize = 64;
/// The most bytes of each part of the credential scope. AWS has access key ids of at most 128.
const MAX_PART: usize = 128;
/// The most bytes of a session token.
const MAX_TOKEN: usize = 8 * 1024;

/// Where a request has its signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Header,
    /// In the query.
    Presigned,
    Both,
}

impl Form {
    /// Returns the form by place and scheme alone.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let in_header = headers.get_all(AUTHORIZATION).iter().any(|value| {
            value.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AWS4-"))
        });
        let in_query = uri
            .query()
            .is_some_and(|query| parameters(query).any(|(name, _)| is_signature_name(name)));
        match (in_header, in_query) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Header),
            (false, true) => Some(Self::Presigned),
            (false, false) => None,
        }
    }
}

/// Returns whether a parameter is the algorithm or the signature of the presigned form.
fn is_signature_name(name: &str) -> bool {
    let is = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"x-amz-signature")
            || name.eq_ignore_ascii_case(b"x-amz-algorithm")
    };
    is(name.as_bytes()) || name.contains('%') && decode(name).is_some_and(|name| is(&name))
}

/// A signature, and what it says about itself.
#[derive(Debug)]
pub(crate) struct PresentedSignature<'a> {
    pub(crate) access_key_id: Cow<'a, str>,
    pub(crate) scope: CredentialScope<'a>,
    pub(crate) time: Timestamp,
    /// The seconds of `X-Amz-Expires`. Only the presigned form has it.
    pub(crate) expires: Option<u64>,
    /// Sorted and in lower case.
    pub(crate) signed_headers: Vec<Cow<'a, str>>,
    pub(crate) signature: Digest,
    pub(crate) session_token: Option<Cow<'a, str>>,
    /// `x-amz-content-sha256`.
    pub(crate) payload_hash: Option<Cow<'a, str>>,
}

/// The date, region and service that a signing key belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CredentialScope<'a> {
    pub(crate) date: Cow<'a, str>,
    pub(crate) region: Cow<'a, str>,
    pub(crate) service: Cow<'a, str>,
}

/// Parameters of either form that are read once each.
#[derive(Default)]
struct Parts<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    session_token: Option<Cow<'a, str>>,
    payload_hash: Option<Cow<'a, str>>,
}

impl<'a> PresentedSignature<'a> {
    /// Reads the signature of a request. Its form was recognised before.
    pub(crate) fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Self, SigV4Fault> {
        let query = uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY || parameters(query).count() > MAX_PARAMETERS {
            return Err(SigV4Fault::TooLong);
        }
        match Form::of(uri, headers) {
            Some(Form::Header) => Self::of_header(headers),
            Some(Form::Presigned) if !headers.contains_key(AUTHORIZATION) => {
                Self::of_query(query, headers)
            }
            _ => Err(SigV4Fault::SeveralCredentials),
        }
    }

    fn of_header(headers: &'a HeaderMap) -> Result<Self, SigV4Fault> {
        let value = single(headers, "authorization", "`authorization`")?
            .ok_or(SigV4Fault::SeveralCredentials)?;
        if value.len() > MAX_HEADER {
            return Err(SigV4Fault::TooLong);
        }
        let (scheme, rest) =
            value.split_once(' ').ok_or(SigV4Fault::Malformed("`authorization`"))?;
        if !scheme.eq_ignore_ascii_case(ALGORITHM) {
            return Err(SigV4Fault::Algorithm);
        }
        let mut parts = Parts::default();
        for part in rest.split(',') {
            let (name, value) =
                part.split_once('=').ok_or(SigV4Fault::Malformed("`authorization`"))?;
            let place = match name.trim_ascii() {
                "Credential" => &mut parts.credential,
                "SignedHeaders" => &mut parts.signed_headers,
                "Signature" => &mut parts.signature,
                _ => return Err(SigV4Fault::Malformed("`authorization`")),
            };
            if place.replace(Cow::Borrowed(value.trim_ascii())).is_some() {
                return Err(SigV4Fault::Malformed("`authorization`"));
            }
        }
        let token = single(headers, "x-amz-security-token", "`x-amz-security-token`")?;
        let hash = single(headers, "x-amz-content-sha256", "`x-amz-content-sha256`")?;
        parts.session_token = token.map(Cow::Borrowed);
        parts.payload_hash = hash.map(Cow::Borrowed);
        let (time, date_header) = header_time(headers)?;
        let presented = Self::assemble(Form::Header, parts, time)?;
        if !presented.signed_headers.iter().any(|name| name == date_header) {
            return Err(SigV4Fault::DateNotSigned);
        }
        Ok(presented)
    }

    fn of_query(query: &'a str, headers: &'a HeaderMap) -> Result<Self, SigV4Fault> {
        let mut parts = Parts::default();
        for (name, value) in parameters(query) {
            // The name of another application's parameter may be any text.
            let Some(name) = decode(name) else { continue };
            if !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"X-Amz-")) {
                continue;
            }
            let place = match &*name {
                b"X-Amz-Algorithm" => &mut parts.algorithm,
                b"X-Amz-Credential" => &mut parts.credential,
                b"X-Amz-Date" => &mut parts.date,
                b"X-Amz-Expires" => &mut parts.expires,
                b"X-Amz-SignedHeaders" => &mut parts.signed_headers,
                b"X-Amz-Signature" => &mut parts.signature,
                b"X-Amz-Security-Token" => &mut parts.session_token,
                b"X-Amz-Content-Sha256" => &mut parts.payload_hash,
                _ => return Err(SigV4Fault::Malformed("the name of an `X-Amz-` parameter")),
            };
            let value = text(value).ok_or(SigV4Fault::Malformed("an `X-Amz-` parameter"))?;
            if place.replace(value).is_some() {
                return Err(SigV4Fault::Malformed("a repeated `X-Amz-` parameter"));
            }
        }
        match parts.algorithm.take() {
            Some(algorithm) if algorithm == ALGORITHM => {}
            _ => return Err(SigV4Fault::Algorithm),
        }
        if let Some(hash) = single(headers, "x-amz-content-sha256", "`x-amz-content-sha256`")? {
            if parts.payload_hash.as_ref().is_some_and(|other| *other != hash) {
                return Err(SigV4Fault::Malformed("`x-amz-content-sha256`"));
            }
            parts.payload_hash = Some(Cow::Borrowed(hash));
        }
        let date = parts.date.take().ok_or(SigV4Fault::DateAbsent)?;
        let time = Timestamp::from_amz_date(&date).ok_or(SigV4Fault::Malformed("`X-Amz-Date`"))?;
        Self::assemble(Form::Presigned, parts, time)
    }

    fn assemble(form: Form, parts: Parts<'a>, time: Timestamp) -> Result<Self, SigV4Fault> {
        let credential = parts.credential.ok_or(SigV4Fault::Malformed("`Credential`"))?;
        let (access_key_id, scope) =
            split_credential(credential).ok_or(SigV4Fault::Malformed("`Credential`"))?;
        if scope.date != time.date() {
            return Err(SigV4Fault::OtherDate);
        }
        let expires = match (form, parts.expires) {
            (Form::Presigned, Some(text)) => Some(seconds(&text)?),
            (Form::Presigned, None) => return Err(SigV4Fault::Malformed("`X-Amz-Expires`")),
            _ => None,
        };
        let signed_headers = split_signed_headers(parts.signed_headers.unwrap_or_default())?;
        if !signed_headers.iter().any(|name| matches!(&**name, "host" | ":authority")) {
            return Err(SigV4Fault::HostNotSigned);
        }
        let signature = parts.signature.and_then(|text| Digest::from_hex(text.as_bytes()));
        let signature = signature.ok_or(SigV4Fault::Malformed("`Signature`"))?;
        if parts.session_token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN) {
            return Err(SigV4Fault::TooLong);
        }
        Ok(Self {
            access_key_id,
            scope,
            time,
            expires,
            signed_headers,
            signature,
            session_token: parts.session_token,
            payload_hash: parts.payload_hash,
        })
    }
}

/// Returns the value of a header. Several of them are an error.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
    part: &'static str,
) -> Result<Option<&'a str>, SigV4Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let several = name == AUTHORIZATION.as_str();
        return Err(if several {
            SigV4Fault::SeveralCredentials
        } else {
            SigV4Fault::Malformed(part)
        });
    }
    value.to_str().map(|value| Some(value.trim_ascii())).map_err(|_| SigV4Fault::Malformed(part))
}

/// Returns the time of the header form and the header that has it. `x-amz-date` precedes `date`.
fn header_time(headers: &HeaderMap) -> Result<(Timestamp, &'static str), SigV4Fault> {
    if let Some(text) = single(headers, "x-amz-date", "`x-amz-date`")? {
        let time = Timestamp::from_amz_date(text);
        return Ok((time.ok_or(SigV4Fault::Malformed("`x-amz-date`"))?, "x-amz-date"));
    }
    let text = single(headers, "date", "`date`")?.ok_or(SigV4Fault::DateAbsent)?;
    let time = Timestamp::from_amz_date(text).or_else(|| Timestamp::from_http_date(text));
    Ok((time.ok_or(SigV4Fault::Malformed("`date`"))?, "date"))
}

/// Decodes a parameter that must be visible ASCII.
fn text(encoded: &str) -> Option<Cow<'_, str>> {
    let decoded = match decode(encoded)? {
        Cow::Borrowed(_) => Cow::Borrowed(encoded),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    };
    decoded.bytes().all(|byte| byte.is_ascii_graphic()).then_some(decoded)
}

fn seconds(text: &str) -> Result<u64, SigV4Fault> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| text.parse().ok()).flatten().filter(|seconds| *seconds > 0);
    seconds.ok_or(SigV4Fault::Malformed("`X-Amz-Expires`"))
}

/// Splits `ID/date/region/service/aws4_request` from the right.
pub(crate) fn split_credential(
    credential: Cow<'_, str>,
) -> Option<(Cow<'_, str>, CredentialScope<'_>)> {
    fn split(text: &str) -> Option<[&str; 4]> {
        let mut parts = text.rsplitn(5, '/');
        let mut part = || {
            let part = parts.next()?;
            let is_part = (1..=MAX_PART).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_graphic());
            is_part.then_some(part)
        };
        let (end, service, region, date, id) = (part()?, part()?, part()?, part()?, part()?);
        (end == "aws4_request").then_some([id, date, region, service])
    }
    Some(match credential {
        Cow::Borrowed(text) => {
            let [id, date, region, service] = split(text)?.map(Cow::Borrowed);
            (id, CredentialScope { date, region, service })
        }
        Cow::Owned(text) => {
            let [id, date, region, service] = split(&text)?.map(|part| Cow::Owned(part.to_owned()));
            (id, CredentialScope { date, region, service })
        }
    })
}

/// Splits, checks and sorts `SignedHeaders`.
fn split_signed_headers(list: Cow<'_, str>) -> Result<Vec<Cow<'_, str>>, SigV4Fault> {
    const MALFORMED: SigV4Fault = SigV4Fault::Malformed("`SignedHeaders`");
    if list.split(';').count() > MAX_SIGNED_HEADERS {
        return Err(SigV4Fault::TooLong);
    }
    let mut names: Vec<Cow<'_, str>> = match list {
        Cow::Borrowed(list) => list.split(';').map(Cow::Borrowed).collect(),
        Cow::Owned(list) => list.split(';').map(|name| Cow::Owned(name.to_owned())).collect(),
    };
    let is_name = |name: &str| {
        let byte = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b',';
        !name.is_empty() && name.bytes().all(byte)
    };
    if !names.iter().all(|name| is_name(name)) {
        return Err(MALFORMED);
    }
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    if names.len() == before { Ok(names) } else { Err(MALFORMED) }
}
