//! The URL of a token, and the new request that is made from it.
//!
//! The URL comes from a client, so nothing of it is sent as it is. Each part is parsed, compared with
//! what a `GetCallerIdentity` must have and written again. CVE-2020-16250 forwarded a client's
//! headers and host. CVE-2022-2385 took a parameter in two spellings.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    super::{
        encoding::{decode, encode, parameters},
        sigv4::{ALGORITHM, split_credential},
        timestamp::Timestamp,
    },
    host::{Partition, StsHost},
};
use crate::sha256::Digest;

/// The start of every token.
pub(super) const PREFIX: &str = "aws-sts-v1.";

/// The most bytes of a session token. AWS promises no length.
const MAX_SESSION_TOKEN: usize = 4 * 1024;

/// The names of parameters as AWS writes them, in their canonical order. The signature is the last.
const NAMES: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// A checked `GetCallerIdentity`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PresignedCall {
    pub(super) host: StsHost,
    /// The region of the credential scope.
    pub(super) region: Box<str>,
    pub(super) access_key_id: Box<str>,
    pub(super) issued_at: u64,
    /// `X-Amz-Expires` in seconds.
    pub(super) expires: Option<u64>,
    /// Made by this module.
    pub(super) query: String,
}

/// Why a token is refused. The text is for the operator's log.
pub(crate) type Reason = &'static str;

impl PresignedCall {
    /// Parses a token. `header` is the name of the server's own header in lower case.
    pub(crate) fn from_token(token: &str, header: &str) -> Result<Self, Reason> {
        let encoded = token.strip_prefix(PREFIX).ok_or("it has another prefix")?;
        let url = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "it is not base64url")?;
        let url = str::from_utf8(&url).map_err(|_| "its URL is not ASCII")?;
        Self::from_url(url, header)
    }

    fn from_url(url: &str, header: &str) -> Result<Self, Reason> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['#', '\\']) {
            return Err("its URL has characters that no presigned URL has");
        }
        let rest = url.strip_prefix("https://").ok_or("its URL is not https")?;
        let (place, query) = rest.split_once('?').ok_or("its URL has no query")?;
        let authority = place.strip_suffix('/').unwrap_or(place);
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        // A path, a port or user information is no part of a host.
        let host = StsHost::parse(host).ok_or("its host is not one of STS")?;
        let values = Values::of(query)?;
        Self::check(host, &values, header)
    }

    fn check(host: StsHost, values: &Values<'_>, header: &str) -> Result<Self, Reason> {
        let is = |name, expected: &str| values.get(name) == Some(expected);
        if !is("Action", "GetCallerIdentity") || !is("Version", "2011-06-15") {
            return Err("it is another action than `GetCallerIdentity` of 2011-06-15");
        }
        if !is("X-Amz-Algorithm", ALGORITHM) {
            return Err("its algorithm is not AWS4-HMAC-SHA256");
        }
        let time = values.get("X-Amz-Date").and_then(Timestamp::from_amz_date);
        let time = time.ok_or("its `X-Amz-Date` is missing or malformed")?;
        let expires = match values.get("X-Amz-Expires") {
            None => None,
            Some(text) => Some(seconds(text).ok_or("its `X-Amz-Expires` is malformed")?),
        };
        let credential = values.get("X-Amz-Credential").map(Cow::Borrowed);
        let (id, scope) = credential
            .and_then(split_credential)
            .ok_or("its `X-Amz-Credential` is missing or malformed")?;
        if !id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            return Err("its access key id is malformed");
        }
        if scope.date != time.date() || scope.service != "sts" {
            return Err("its credential scope has another day or service");
        }
        let same_region = host.region.as_deref().is_none_or(|region| *region == *scope.region);
        if !same_region || Partition::of_region(&scope.region) != Some(host.partition) {
            return Err("its credential scope has another region than its host");
        }
        let signed = values.get("X-Amz-SignedHeaders").unwrap_or_default();
        let mut expected = ["host", header];
        expected.sort_unstable();
        if signed != expected.join(";") {
            return Err("its signed headers are not `host` and the server's own header");
        }
        let signature = values.get("X-Amz-Signature").map(str::as_bytes);
        if signature.and_then(Digest::from_hex).is_none() {
            return Err("its `X-Amz-Signature` is missing or malformed");
        }
        let session_token = values.get("X-Amz-Security-Token").map_or(0, str::len);
        if session_token > MAX_SESSION_TOKEN {
            return Err("its session token is too long");
        }
        Ok(Self {
            region: scope.region.into(),
            access_key_id: id.into(),
            issued_at: time.unix_seconds(),
            expires,
            query: values.to_query(),
            host,
        })
    }
}

/// The values of the allowed parameters, each at the place of its name.
struct Values<'a>([Option<Cow<'a, str>>; NAMES.len()]);

impl<'a> Values<'a> {
    /// Takes each allowed parameter once, whatever the case of its letters, and no other.
    fn of(query: &'a str) -> Result<Self, Reason> {
        let mut values = Self(Default::default());
        for (name, value) in parameters(query) {
            let name = decode(name).ok_or("the name of a parameter is malformed")?;
            let mut places = NAMES.iter().zip(&mut values.0);
            let place = places.find(|(own, _)| own.as_bytes().eq_ignore_ascii_case(&name));
            let (_, place) = place.ok_or("it has a parameter that is not allowed")?;
            let value = decode(value).ok_or("a parameter is malformed")?;
            let is_text = value.iter().all(u8::is_ascii_graphic);
            let value = match value {
                Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
                Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
            };
            let value = value.filter(|_| is_text).ok_or("a parameter is not visible ASCII")?;
            if place.replace(value).is_some() {
                return Err("it has a parameter twice");
            }
        }
        Ok(values)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut places = NAMES.iter().zip(&self.0);
        places.find(|(own, _)| **own == name).and_then(|(_, value)| value.as_deref())
    }

    /// Writes the parameters in the spelling and the order of AWS.
    fn to_query(&self) -> String {
        let present = NAMES.iter().zip(&self.0);
        let pairs = present.filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name}={}", encode(value.as_bytes())))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn seconds(text: &str) -> Option<u64> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "x-inference-server-id";
    const URL: &str = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&\
        Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&\
        X-Amz-Credential=ASIAEXAMPLE%2F20270115%2Fus-east-1%2Fsts%2Faws4_request&\
        X-Amz-Date=20270115T080000Z&X-Amz-Expires=60&X-Amz-Security-Token=a%2Fb%2Bc%3D&\
        X-Amz-SignedHeaders=host%3Bx-inference-server-id&\
        X-Amz-Signature=00000000000000000000000000000000000000000000000000000000000000ff";

    fn of(url: &str) -> Result<PresignedCall, Reason> {
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url));
        PresignedCall::from_token(&token, HEADER)
    }

    #[test]
    fn request_is_written_anew() {
        let call = of(URL).unwrap();
        let query = URL.split_once('?').unwrap().1;
        assert_eq!((&*call.host.name, &*call.query), ("sts.us-east-1.amazonaws.com", query));
        assert_eq!((call.issued_at, call.expires), (1_800_000_000, Some(60)));
        assert_eq!((&*call.access_key_id, &*call.region), ("ASIAEXAMPLE", "us-east-1"));
        // Order, case of names and of the host, encoding, port and path become those of AWS.
        let (first, rest) = query.split_once('&').unwrap();
        for url in [
            format!("https://STS.us-east-1.amazonaws.com:443/?{query}"),
            format!("https://sts.us-east-1.amazonaws.com?{rest}&{first}"),
            URL.replace("Action=", "action=").replace("X-Amz-Date", "x-amz-date"),
            URL.replace("%2F2027", "/2027").replace("GetCaller", "%47etCaller"),
        ] {
            assert_eq!(of(&url), Ok(call.clone()), "{url}");
        }
    }

    #[test]
    fn url_of_botocore_is_accepted() {
        let url = "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&\
            X-Amz-Algorithm=AWS4-HMAC-SHA256&\
            X-Amz-Credential=AKIDEXAMPLE%2F20261201%2Fus-east-1%2Fsts%2Faws4_request&\
            X-Amz-Date=20261201T000250Z&X-Amz-Expires=900&\
            X-Amz-SignedHeaders=host%3Bx-inference-server-id&X-Amz-Security-Token=tok%2F%2B%3D&\
            X-Amz-Signature=ea158f9a63cb7168584f66cc220bb2ef15c972afe3c7cde32c4dc1986228c9bd";
        let call = of(url).unwrap();
        // The order of the parameters is no part of the signature.
        let sorted = |query: &str| {
            let mut pairs: Vec<_> = query.split('&').map(str::to_owned).collect();
            pairs.sort_unstable();
            pairs
        };
        assert_eq!(sorted(&call.query), sorted(url.split_once('?').unwrap().1));
    }

    #[test]
    fn anything_else_is_refused() {
        let with = |from: &str, to: &str| {
            assert!(URL.contains(from), "{from}");
            URL.replace(from, to)
        };
        for url in [
            with("https:", "http:"),
            with("https:", "HTTPS:"),
            with("https://sts", "https://user@sts"),
            with("https://sts", "https://evil.example/sts"),
            with("https://sts", "https://evil.example\\@sts"),
            with(".com/", ".com:8443/"),
            with(".com/", ".com:/"),
            with(".com/", ".com//"),
            with(".com/", ".com/x"),
            with(".com/", ".com/.."),
            with(".com/", ".com.evil.example/"),
            with("?Action", "?#Action"),
            with("?", "/"),
            with("GetCallerIdentity", "GetSessionToken"),
            with("GetCallerIdentity", "getcalleridentity"),
            with("2011-06-15", "2011-06-16"),
            with("HMAC-SHA256", "ECDSA-P256-SHA256"),
            // CVE-2022-2385: a second spelling of a parameter.
            with("?Action", "?action=GetSessionToken&Action"),
            with("?Action", "?Action=GetCallerIdentity&Action"),
            with("?Action", "?%41ction=GetSessionToken&Action"),
            with("?Action", "?&Action"),
            with("?Action", "?RoleArn=x&Action"),
            with("Action=GetCallerIdentity&", ""),
            with("Version=2011-06-15&", ""),
            with("X-Amz-Date=20270115T080000Z&", ""),
            with("20270115T08", "20270116T08"),
            with("Expires=60", "Expires=0"),
            with("Expires=60", "Expires=-1"),
            with("Expires=60", "Expires=9999999"),
            with("%2Fsts%2F", "%2Fs3%2F"),
            with("%2Fus-east-1%2F", "%2Fus-east-2%2F"),
            with("ASIAEXAMPLE", "asiaexample"),
            with("ASIAEXAMPLE", ""),
            // CVE-2020-16250: headers of the client.
            with("host%3Bx-inference", "accept%3Bhost%3Bx-inference"),
            with("host%3Bx-inference-server-id", "host"),
            with("host%3Bx-inference-server-id", "x-inference-server-id"),
            with("host%3Bx-inference-server-id", "host%3Bx-other-server-id"),
            with("0000ff", "0000f"),
            with("0000ff", "0000fg"),
            with("a%2Fb", "a+b"),
            with("a%2Fb", "a%0Ab"),
            with("a%2Fb", "a%zzb"),
            with("a%2Fb", &"a".repeat(5_000)),
            format!("{URL} "),
            format!("{URL}\n"),
            String::new(),
        ] {
            assert!(of(&url).is_err(), "{url}");
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(URL));
        for token in ["", PREFIX, &token[1..], &format!("{token}="), &format!("{token}.x")] {
            assert!(PresignedCall::from_token(token, HEADER).is_err(), "{token}");
        }
        let global = with("sts.us-east-1.amazonaws", "sts.amazonaws");
        assert!(of(&global).is_ok());
        assert!(of(&global.replace("%2Fus-east-1%2F", "%2Fcn-north-1%2F")).is_err());
    }
}
