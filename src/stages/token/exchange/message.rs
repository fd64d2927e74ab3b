//! The exchange on the wire.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header::CONTENT_TYPE};
use serde_json::Value;
use zeroize::Zeroizing;

use super::fault::ExchangeFault;
use crate::{fetch::Reply, secret::Secret, stages::token::fetched::FetchedToken};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const SUBJECT_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";

/// Returns the request of RFC 8693 section 2.1. Hugging Face takes it as JSON.
pub(super) fn request(endpoint: Uri, subject: &Secret, resource: &str) -> Request<Bytes> {
    let members = [
        ("grant_type", GRANT_TYPE),
        ("subject_token_type", SUBJECT_TOKEN_TYPE),
        ("subject_token", subject.expose()),
        ("resource", resource),
    ];
    // Full capacity at once, because a growing buffer leaves unwiped copies behind. A character takes
    // at most six bytes as an escape.
    let length = |(name, value): &(&str, &str)| name.len() + value.len() * 6 + 8;
    let mut body = Zeroizing::new(Vec::with_capacity(members.iter().map(length).sum()));
    for (name, value) in members {
        let separator = if body.is_empty() { b'{' } else { b',' };
        body.push(separator);
        // Never fails on a string.
        let _name = serde_json::to_writer(&mut *body, name);
        body.push(b':');
        let _value = serde_json::to_writer(&mut *body, value);
    }
    body.push(b'}');
    let mut request = Request::new(Bytes::from_owner(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

/// Reads the response of RFC 8693 section 2.2.
pub(super) fn token(
    reply: Reply,
    audience: &str,
    resource: &str,
) -> Result<FetchedToken, ExchangeFault> {
    match reply.status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST => return Err(refused(&reply.body, audience, resource)),
        other => return Err(ExchangeFault::Status(other.as_u16())),
    }
    let body = Zeroizing::new(Vec::from(reply.body));
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else {
        return Err(ExchangeFault::Malformed("it is not a JSON object"));
    };
    let Some(Value::String(token)) = members.remove("access_token") else {
        return Err(ExchangeFault::Malformed("it has no access_token"));
    };
    let token = Secret::new(token);
    let kind = members.get("token_type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(ExchangeFault::Malformed("its token_type is not bearer"));
    }
    let token = FetchedToken::new(token);
    match members.get("expires_in") {
        None => Ok(token),
        Some(seconds) => {
            let seconds = seconds
                .as_f64()
                .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
            let lifetime = seconds.ok_or(ExchangeFault::Malformed("its expires_in is no time"))?;
            Ok(token.expires_in(lifetime))
        }
    }
}

/// Names the error of RFC 6749 section 5.2. The response says no more.
fn refused(body: &[u8], audience: &str, resource: &str) -> ExchangeFault {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    match code {
        Some("invalid_grant") => {
            ExchangeFault::InvalidGrant { audience: audience.into(), resource: resource.into() }
        }
        Some("invalid_request") => ExchangeFault::InvalidRequest { resource: resource.into() },
        _ => ExchangeFault::BadRequest,
    }
}
