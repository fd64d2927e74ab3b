//! Wycheproof's tests of JSON Web Signatures and Keys.
//!
//! The payloads are not claims, so every token is rejected. The rejection of a valid signature
//! differs from the rejection of an invalid one.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use tower_inference::auth::{AuthLayer, Keys};

use super::{conformance, jwt_of, try_token};

/// Returns true if these keys verify the signature.
async fn verified(jwks: &Value, jws: &str) -> bool {
    let Ok(keys) = Keys::from_jwks(jwks.to_string()) else {
        return false;
    };
    let outcome = try_token(&AuthLayer::new(jwt_of(keys)), jws).await;
    assert_eq!(outcome.status, 401, "{jws}");
    let challenge = outcome.challenge();
    challenge.contains("error=") && !challenge.contains("invalid bearer token")
}

/// Runs each test of a file. Returns the tests with another result by their comment.
async fn run(file: &str, set: impl Fn(&Value) -> Value) -> (usize, BTreeMap<String, Vec<u64>>) {
    let text = fs::read_to_string(conformance::path(&format!("wycheproof/{file}"))).unwrap();
    let tests: Value = serde_json::from_str(&text).unwrap();
    let mut differ = BTreeMap::<String, Vec<u64>>::new();
    let mut run = 0;
    for group in tests["testGroups"].as_array().unwrap() {
        // A group without a public key has a secret. Key sets hold no secrets.
        let key = if group["public"].is_null() { &group["private"] } else { &group["public"] };
        let jwks = set(key);
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"].as_str().unwrap();
            run += 1;
            let valid = test["result"] == "valid";
            if verified(&jwks, jws).await != valid {
                let key = format!("{} {}: {}", key["alg"], test["comment"], test["result"]);
                differ
                    .entry(key.replace('"', ""))
                    .or_default()
                    .push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    (run, differ)
}

#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn signatures_are_verified_as_wycheproof_expects() {
    let (run, differ) = run("json_web_signature_test.json", |key| json!({ "keys": [key] })).await;
    assert_eq!(run, 401);
    // Every invalid signature is rejected. These valid ones are rejected too.
    let refused: [(&str, &[u64]); 16] = [
        // Secrets are not supported. The `alg` of the P-521 key is misspelled.
        ("HS256 acceptsValid: valid", &[1]),
        ("HS256 Figure35: valid", &[348, 352]),
        ("HS256 ValidMac: valid", &[357]),
        ("HS256 ValidEdgeCaseMac: valid", &[358, 359]),
        ("HS256 InvalidCharacterInsertedInHeader: valid", &[372]),
        ("HS256 InvalidCharacterInsertedInPayload: valid", &[373]),
        ("HS256 ValidSpacesInJsonHeader: valid", &[376]),
        ("HS256 ValidWhiteSpaceInJsonHeader: valid", &[377]),
        ("ES521 Figure27: valid", &[347, 351]),
        // The key is for PS256. The token has PS384.
        ("PS256 Figure20: valid", &[346, 350]),
        // A token must have claims.
        ("RS256 emptyPayload: valid", &[259]),
        ("RS384 emptyPayload: valid", &[264]),
        ("RS512 emptyPayload: valid", &[268]),
        ("PS256 emptyPayload: valid", &[272]),
        ("PS384 emptyPayload: valid", &[320]),
        ("PS512 emptyPayload: valid", &[325]),
    ];
    assert_eq!(differ, exceptions(&refused));
}

#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn keys_are_accepted_as_wycheproof_expects() {
    let (run, differ) = run("json_web_key_test.json", Value::clone).await;
    assert_eq!(run, 26);
    let refused: [(&str, &[u64]); 3] = [
        ("null acceptsValid: valid", &[2]),
        ("null long_key: valid", &[13, 14, 15]),
        // A key with the weak primes of some smart cards before 2017. The check is left to the
        // issuer.
        ("null rejectsKeyWithRocaVulnerability: invalid", &[7]),
    ];
    assert_eq!(differ, exceptions(&refused));
}

fn exceptions(list: &[(&str, &[u64])]) -> BTreeMap<String, Vec<u64>> {
    list.iter().map(|(name, tests)| ((*name).to_owned(), tests.to_vec())).collect()
}
