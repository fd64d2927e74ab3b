//! Which model of which provider a request reaches: tables, recorded clients, and every way in which
//! an upstream might read the same request.

mod captures;
mod readers;
mod router;
mod servers;

use std::{borrow::Cow, path::Path};

use base64::Engine as _;
use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use serde_json::Value;
use tower_inference::{
    model::{BodyForm, Profile, Provider, TargetError},
    model_rules::{ModelRule, ModelRules},
    payload::{DocumentError, JsonFault, Payload},
};

use proptest::prelude::*;

fn request(method: Method, path: &str, payload: Payload) -> Request<Payload> {
    let request = Request::builder().method(method).uri(path);
    request.header(CONTENT_TYPE, "application/json").body(payload).unwrap()
}

fn post(path: &str, body: &str) -> Request<Payload> {
    request(Method::POST, path, Payload::buffered(body.to_owned()))
}

/// What is reached, in the notation of the field.
fn reached(upstream: &Profile, request: &Request<Payload>) -> Result<String, TargetError> {
    upstream.target(request).map(|target| target.to_string())
}

fn check(upstream: &Profile, rows: &[(&str, &str, Result<&str, TargetError>)]) {
    for (path, body, expected) in rows {
        let found = reached(upstream, &post(path, body));
        assert_eq!(found.as_deref().map_err(|error| *error), *expected, "{path} {body}");
    }
}

/// Why the body is no document, of a target that has none because of it.
fn malformed(path: &str, body: &str) -> JsonFault {
    match reached(&Profile::router(), &post(path, body)) {
        Err(TargetError::Body(DocumentError::Malformed(malformed))) => malformed.fault,
        other => panic!("{path} {body}: {other:?}"),
    }
}

const EMPTY: TargetError = TargetError::Body(DocumentError::Empty);
const STREAMED: TargetError = TargetError::Body(DocumentError::Streamed);

const CHAT: &str = "/v1/chat/completions";
