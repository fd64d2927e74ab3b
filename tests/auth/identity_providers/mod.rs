//! Key sets and tokens of real identity providers.
//!
//! Each row has a provider, the source of its format and the expected result. The keys are
//! generated here. All other members are the provider's.

mod claim_forms;
mod cloud_services;
mod key_forms;
mod responses;
mod servers;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tower::service_fn;
use tower_inference::{
    auth::{AuthLayer, ClaimMapping, Jwt, Keys, KeysError, RemoteKeys},
    clock::SharedClock,
    rejection::Refusal,
};

use crate::{
    fake_clock,
    fake_provider::JWKS_URI,
    fault,
    issuer::{
        ED25519, ISSUER, NOW, P256, P384, Pair, RSA, RSA_OTHER, claims, decode, encode, merge, set,
        token,
    },
    jwt_of, layer, try_token,
};

/// This text is not a certificate. Certificates are not read.
const CERTIFICATE: &str = "MIIC+DCCAeCgAwIBAgIJBIGjYW6hFpn2MA0GCSqGSIb3DQEBBQUA==";
const THUMBPRINT: &str = "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg";

struct Party {
    name: &'static str,
    source: &'static str,
    issuer: &'static str,
    audience: &'static str,
    set: Vec<Value>,
    header: Value,
    claims: Value,
    more: fn(Jwt) -> Jwt,
    /// The scopes of the identity.
    scopes: &'static [&'static str],
}

fn as_is(jwt: Jwt) -> Jwt {
    jwt
}

/// The public half of the key that signs the rows.
fn rsa(members: Value) -> Value {
    RSA.jwk_with(members)
}

/// A number of the signing key without changes.
fn spelled(name: &str) -> String {
    RSA.jwk()[name].as_str().unwrap().to_owned()
}

/// The same number after the zero octet that Java's `BigInteger` writes.
fn signed(name: &str) -> String {
    encode([&[0], &decode(&spelled(name))[..]].concat())
}

fn padded(text: &str) -> String {
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

#[tokio::test]
async fn token_of_each_provider_is_accepted_with_its_scopes() {
    for party in cloud_services::parties().into_iter().chain(servers::parties()) {
        let Party { name, source, issuer, audience, set: keys, header, claims: own, more, scopes } =
            party;
        let keys = Keys::from_jwks(set(&keys)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let jwt = Jwt::new(keys, issuer, audience).clock(SharedClock::new(fake_clock()));
        let layer = AuthLayer::new(more(jwt));
        let claims = merge(claims(json!({ "iss": issuer })), own);
        let outcome = try_token(&layer, &RSA.token(&header, &claims)).await;
        assert!(outcome.passed(), "{name} ({source}): {outcome:?}");
        let identity = outcome.identity.unwrap();
        assert_eq!(identity.scopes().collect::<Vec<_>>(), scopes, "{name} ({source})");
        assert_eq!(identity.tenant(), claims.get("tid").and_then(Value::as_str), "{name}");
    }
}
