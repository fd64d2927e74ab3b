//! Tokens that are bound to a key of the client by DPoP (RFC 9449) or to its certificate (RFC 8705).

use std::convert::Infallible;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, ClientCertificate, Dpop},
    clock::{FakeClock, SharedClock},
    rejection::Refusal,
};

use super::{
    Outcome, bearer, fake_clock,
    issuer::{ED25519_OTHER, NOW, P256, Pair, RSA, RSA_OTHER, encode, hs256, merge, token},
    jwt, request, seconds, send, try_token,
};

const ADDRESS: &str = "https://gateway.example";
const TARGET: &str = "https://gateway.example/v1/chat/completions";

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    encode(digest(&SHA256, bytes.as_ref()))
}

/// The thumbprint of RFC 7638. `serde_json` writes the members in the order of their names.
fn thumbprint(pair: &Pair) -> String {
    sha256(pair.jwk().to_string())
}

/// A token that is not bound.
fn token_of_bearer() -> String {
    token("EdDSA", json!({}))
}

fn bound(pair: &Pair) -> String {
    token("EdDSA", json!({ "cnf": { "jkt": thumbprint(pair) } }))
}

/// A proof for one request with the members of `header` and `claims`. A null removes one.
fn proof_with(pair: &Pair, algorithm: &str, token: &str, header: Value, claims: Value) -> String {
    let valid = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": pair.jwk() });
    let own = json!({
        "jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": TARGET, "iat": NOW, "ath": sha256(token),
    });
    pair.token(&merge(valid, header), &merge(own, claims))
}

/// The members of both. A null of the second removes a claim of [`proof_with`].
fn with(mut own: Value, more: Value) -> Value {
    own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    own
}

fn proof(token: &str, id: &str) -> String {
    proof_with(&P256, "ES256", token, json!({}), json!({ "jti": id }))
}

fn with_proofs(scheme: &str, token: &str, proofs: &[&str]) -> Request<Full<Bytes>> {
    let mut request = request(&[&format!("{scheme} {token}")]);
    for proof in proofs {
        request.headers_mut().append("dpop", HeaderValue::from_str(proof).unwrap());
    }
    request
}

pub async fn with_proof(layer: &AuthLayer, token: &str, proof: &str) -> Outcome {
    send(layer, with_proofs("DPoP", token, &[proof])).await
}

fn layer_at(clock: &FakeClock, dpop: Dpop) -> AuthLayer {
    AuthLayer::new(jwt().clock(SharedClock::new(clock.clone())).dpop(dpop))
}

/// A token that is bound to the key of [`proof_at`].
pub fn bound_token() -> String {
    bound(&P256)
}

/// A proof that was made at `iat`.
pub fn proof_at(token: &str, id: &str, iat: u64) -> String {
    proof_with(&P256, "ES256", token, json!({}), json!({ "jti": id, "iat": iat }))
}

/// A layer that accepts proofs.
pub fn bound_layer(clock: &FakeClock) -> AuthLayer {
    layer_at(clock, Dpop::new(ADDRESS).unwrap())
}

fn layer() -> AuthLayer {
    layer_at(&fake_clock(), Dpop::new(ADDRESS).unwrap())
}

#[tokio::test]
async fn a_client_without_a_token_may_use_either_scheme() {
    let outcome = send(&layer(), request(&[])).await;
    let challenges: Vec<_> = outcome.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Bearer", "DPoP"]);
}

#[tokio::test]
async fn each_request_needs_a_proof_of_its_own() {
    let layer = layer();
    let token = bound(&P256);
    // The token is new, then cached.
    for id in ["one", "two", "three"] {
        assert!(with_proof(&layer, &token, &proof(&token, id)).await.passed(), "{id}");
        let outcome = with_proof(&layer, &token, &proof(&token, id)).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
        assert_eq!(
            outcome.challenge(),
            r#"DPoP error="invalid_dpop_proof", error_description="the proof in `DPoP` is invalid: it was used before""#,
        );
    }
    let outcome = send(&layer, with_proofs("DPoP", &token, &[])).await;
    assert!(outcome.challenge().contains("the header `DPoP` with a proof is missing"));
    let (one, two) = (proof(&token, "four"), proof(&token, "five"));
    assert!(!send(&layer, with_proofs("DPoP", &token, &[&one, &two])).await.passed());
    assert!(send(&layer, with_proofs("dpop", &token, &[&one])).await.passed());
}

#[tokio::test]
async fn inner_service_sees_no_proof() {
    let inner = service_fn(async |request: Request<Full<Bytes>>| {
        assert!(!request.headers().contains_key("dpop"));
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let token = bound(&P256);
    let request = with_proofs("DPoP", &token, &[&proof(&token, "one")]);
    assert_eq!(layer().layer(inner).oneshot(request).await.unwrap().status(), 200);
    // Without the setting the header is not the layer's.
    let unbound = token_of_bearer();
    let inner = service_fn(async |request: Request<Full<Bytes>>| {
        assert!(request.headers().contains_key("dpop"));
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let request = with_proofs("Bearer", &unbound, &["text"]);
    assert_eq!(super::layer().layer(inner).oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn bound_token_is_never_a_bearer_token() {
    let token = bound(&P256);
    let layer = layer();
    let outcome = send(&layer, with_proofs("Bearer", &token, &[&proof(&token, "one")])).await;
    assert_eq!(outcome.status, 401);
    assert!(outcome.challenge().starts_with(r#"DPoP error="invalid_token""#));
    // The token is cached from here on.
    assert!(with_proof(&layer, &token, &proof(&token, "two")).await.passed());
    let outcome = try_token(&layer, &token).await;
    assert!(outcome.challenge().contains("DPoP TOKEN"), "{}", outcome.challenge());
}

#[tokio::test]
async fn unbound_token_needs_no_proof_and_is_not_sent_with_one() {
    let layer = layer();
    let token = token("EdDSA", json!({}));
    assert!(try_token(&layer, &token).await.passed());
    let outcome = with_proof(&layer, &token, &proof(&token, "one")).await;
    assert!(outcome.challenge().contains("not bound to a key"), "{}", outcome.challenge());
}

#[tokio::test]
async fn bound_token_is_rejected_without_the_means_to_confirm_it() {
    let layer = super::layer();
    let token = bound(&P256);
    for _ in 0..2 {
        let outcome = try_token(&layer, &token).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
        assert!(outcome.challenge().contains("claim `cnf`"), "{}", outcome.challenge());
    }
    // The scheme is unknown then.
    let outcome = with_proof(&layer, &token, &proof(&token, "one")).await;
    assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials));
}

#[tokio::test]
async fn other_confirmations_are_rejected() {
    let layer = layer();
    let jkt = thumbprint(&P256);
    for cnf in [
        json!({}),
        json!({ "kid": "k" }),
        json!({ "jwk": P256.jwk() }),
        json!({ "jkt": jkt, "kid": "k" }),
        json!({ "jkt": jkt, "jku": "https://issuer.example" }),
        json!({ "jkt": "short" }),
        json!({ "jkt": format!("{jkt}=") }),
        json!("text"),
        json!([]),
        json!({ "jkt": 7 }),
    ] {
        let token = token("EdDSA", json!({ "cnf": cnf }));
        for outcome in [
            try_token(&layer, &token).await,
            with_proof(&layer, &token, &proof(&token, "one")).await,
        ] {
            assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{cnf}");
            assert!(outcome.challenge().contains("claim `cnf`"), "{}", outcome.challenge());
        }
    }
}

#[tokio::test]
async fn proof_fits_the_request_and_the_token() {
    let layer = layer();
    let token = bound(&P256);
    let other = bound(&RSA);
    let accepted = |id: &str| json!({ "jti": id });
    for claims in [
        json!({ "htu": "https://GATEWAY.example:443/v1/chat/completions?x#y" }),
        json!({ "iat": NOW - 59 }),
        json!({ "iat": NOW as f64 - 0.5 }),
        json!({ "nonce": "unused", "exp": 1 }),
    ] {
        let claims = with(accepted(&sha256(claims.to_string())), claims);
        let proof = proof_with(&P256, "ES256", &token, json!({}), claims.clone());
        assert!(with_proof(&layer, &token, &proof).await.passed(), "{claims}");
    }
    for (claims, reason) in [
        (json!({ "jti": null }), "jti"),
        (json!({ "jti": "" }), "jti"),
        (json!({ "jti": "x".repeat(300) }), "jti"),
        (json!({ "jti": 7 }), "malformed"),
        (json!({ "htm": null }), "htm"),
        (json!({ "htm": "POST" }), "htm"),
        (json!({ "htm": "get" }), "htm"),
        (json!({ "htu": null }), "htu"),
        (json!({ "htu": "https://gateway.example/v1/models" }), "htu"),
        (json!({ "htu": "https://other.example/v1/chat/completions" }), "htu"),
        (json!({ "htu": "http://gateway.example/v1/chat/completions" }), "htu"),
        (json!({ "htu": "/v1/chat/completions" }), "htu"),
        (json!({ "ath": null }), "ath"),
        (json!({ "ath": sha256(&other) }), "ath"),
        (json!({ "iat": null }), "iat"),
        (json!({ "iat": NOW + 1 }), "in the future"),
        (json!({ "iat": NOW - 60 }), "too old"),
        (json!({ "iat": "1" }), "malformed"),
    ] {
        let own = with(accepted(&sha256(claims.to_string())), claims.clone());
        let outcome =
            with_proof(&layer, &token, &proof_with(&P256, "ES256", &token, json!({}), own)).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{claims}");
        assert!(outcome.challenge().contains(reason), "{claims}: {}", outcome.challenge());
    }
    for (header, reason) in [
        (json!({ "typ": null }), "typ"),
        (json!({ "typ": "JWT" }), "typ"),
        (json!({ "alg": "none" }), "alg"),
        (json!({ "alg": "HS256" }), "alg"),
        (json!({ "jwk": null }), "jwk"),
        (json!({ "jwk": P256.jwk_with(json!({ "d": "AAAA" })) }), "jwk"),
        (json!({ "jwk": RSA_OTHER.jwk() }), "not the key of the token"),
        (json!({ "jwk": "text" }), "malformed"),
        (json!({ "crit": ["exp"] }), "unsupported"),
        (json!({ "b64": false }), "unsupported"),
        (json!({ "alg": "ES384" }), "signature"),
    ] {
        let proof = proof_with(
            &P256,
            "ES256",
            &token,
            header.clone(),
            accepted(&sha256(header.to_string())),
        );
        let outcome = with_proof(&layer, &token, &proof).await;
        assert!(outcome.challenge().contains(reason), "{header}: {}", outcome.challenge());
        assert!(!outcome.passed());
    }
}

#[tokio::test]
async fn forged_proof_is_rejected() {
    let layer = layer();
    let token = bound(&P256);
    let valid = proof(&token, "one");
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let (_, other) = valid.split_once('.').unwrap();
    let header = json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": P256.jwk() });
    for forged in [
        String::new(),
        "text".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{}", encode([1; 64])),
        format!("e30.{other}"),
        format!("{valid}.x"),
        token.clone(),
        "x".repeat(10_000),
        hs256(b"", &header, &json!({})),
        // Another key than that of the token.
        proof_with(&RSA, "RS256", &token, json!({}), json!({})),
        proof_with(&RSA, "RS256", &token, json!({ "jwk": P256.jwk() }), json!({})),
    ] {
        assert!(!with_proof(&layer, &token, &forged).await.passed(), "{forged}");
    }
    // No forged proof has used up the valid one.
    assert!(with_proof(&layer, &token, &valid).await.passed());
}

#[tokio::test]
async fn proof_has_a_key_of_any_kind() {
    let layer = layer();
    for (pair, algorithm) in
        [(&*P256, "ES256"), (&*RSA, "PS256"), (&*RSA_OTHER, "RS256"), (&*ED25519_OTHER, "EdDSA")]
    {
        let token = bound(pair);
        let proof = proof_with(pair, algorithm, &token, json!({}), json!({}));
        assert!(with_proof(&layer, &token, &proof).await.passed(), "{algorithm}");
    }
}

#[tokio::test]
async fn claims_are_checked_before_the_proof() {
    let token = token("EdDSA", json!({ "cnf": { "jkt": thumbprint(&P256) }, "exp": NOW }));
    let outcome = with_proof(&layer(), &token, "text").await;
    assert_eq!(outcome.refusal(), Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn proofs_are_remembered_until_they_are_too_old_and_not_beyond_the_maximum() {
    let clock = fake_clock();
    let dpop = Dpop::new(ADDRESS).unwrap().max_age(seconds(10)).max_proofs(8);
    let layer = layer_at(&clock, dpop);
    let token = bound(&P256);
    let at = |id: &str, iat: u64| {
        proof_with(&P256, "ES256", &token, json!({}), json!({ "jti": id, "iat": iat }))
    };
    assert!(with_proof(&layer, &token, &at("one", NOW)).await.passed());
    assert!(with_proof(&layer, &token, &at("two", NOW)).await.passed());
    let full = with_proof(&layer, &token, &at("three", NOW)).await;
    assert_eq!(full.refusal(), Some(Refusal::Overloaded));
    assert!(full.headers.contains_key("retry-after"));
    clock.advance(seconds(9));
    let used = with_proof(&layer, &token, &at("one", NOW)).await;
    assert!(used.challenge().contains("used before"), "{}", used.challenge());
    assert!(!with_proof(&layer, &token, &at("three", NOW)).await.passed());
    clock.advance(seconds(1));
    assert!(with_proof(&layer, &token, &at("three", NOW + 10)).await.passed());
    let old = with_proof(&layer, &token, &at("one", NOW)).await;
    assert!(old.challenge().contains("too old"), "{}", old.challenge());
}

#[tokio::test]
async fn token_of_a_certificate_needs_the_connection_of_that_certificate() {
    let der = b"a certificate";
    let layer = super::layer();
    let token = token("EdDSA", json!({ "cnf": { "x5t#S256": sha256(der) } }));
    let with = |certificate: Option<&[u8]>| {
        let mut request = bearer(&token);
        if let Some(der) = certificate {
            request.extensions_mut().insert(ClientCertificate::from_der(der));
        }
        request
    };
    // New, then cached.
    for _ in 0..2 {
        for certificate in [None, Some(&b"another"[..]), Some(b"")] {
            let outcome = send(&layer, with(certificate)).await;
            assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
            assert!(outcome.challenge().contains("client certificate"), "{}", outcome.challenge());
        }
        assert!(send(&layer, with(Some(der))).await.passed());
    }
    // A certificate gives nothing to other tokens and takes nothing from them.
    let unbound = token_of_bearer();
    assert!(try_token(&layer, &unbound).await.passed());
}

#[tokio::test]
async fn token_with_both_bindings_needs_both_proofs() {
    let der = b"a certificate";
    let cnf = json!({ "jkt": thumbprint(&P256), "x5t#S256": sha256(der) });
    let token = token("EdDSA", json!({ "cnf": cnf }));
    let layer = layer();
    let mut both = with_proofs("DPoP", &token, &[&proof(&token, "one")]);
    both.extensions_mut().insert(ClientCertificate::from_der(der));
    assert!(send(&layer, both).await.passed());
    assert!(!with_proof(&layer, &token, &proof(&token, "two")).await.passed());
    let mut certificate = bearer(&token);
    certificate.extensions_mut().insert(ClientCertificate::from_der(der));
    assert!(!send(&layer, certificate).await.passed());
}
