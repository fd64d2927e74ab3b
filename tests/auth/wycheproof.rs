//! Wycheproof's tests of JSON Web Signatures and Keys.
//!
//! Their payloads are no claims, so a signature that is verified shows by the rejection that follows:
//! only then does it speak of a claim.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use tower_inference::auth::{AuthLayer, Keys};

use super::{conformance, jwt_of, try_token};

/// Whether the signature of a token is verified with these keys.
async fn verified(jwks: &Value, jws: &str) -> bool {
    let Ok(keys) = Keys::from_jwks(jwks.to_string()) else {
        return false;
    };
    let outcome = try_token(&AuthLayer::new(jwt_of(keys)), jws).await;
    assert_eq!(outcome.status, 401, "{jws}");
    outcome.challenge().contains("the signature holds")
}

/// Runs each test of a file. What goes otherwise than it says, by its comment.
async fn run(file: &str, set: impl Fn(&Value) -> Value) -> (usize, BTreeMap<String, Vec<u64>>) {
    let text = fs::read_to_string(conformance::path(&format!("wycheproof/{file}"))).unwrap();
    let tests: Value = serde_json::from_str(&text).unwrap();
    let mut differ = BTreeMap::<String, Vec<u64>>::new();
    let mut run = 0;
    for group in tests["testGroups"].as_array().unwrap() {
        // A group without a public key has a secret, which is not for sets.
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
async fn signatures_are_judged_as_wycheproof_does() {
    let (run, differ) = run("json_web_signature_test.json", |key| json!({ "keys": [key] })).await;
    assert_eq!(run, 401);
    // Every invalid one is refused. The valid ones that are refused as well:
    let refused: [(&str, &[u64]); 16] = [
        // No secrets here, and no P-521.
        ("HS256 acceptsValid: valid", &[1]),
        ("HS256 Figure35: valid", &[348, 352]),
        ("HS256 ValidMac: valid", &[357]),
        ("HS256 ValidEdgeCaseMac: valid", &[358, 359]),
        ("HS256 InvalidCharacterInsertedInHeader: valid", &[372]),
        ("HS256 InvalidCharacterInsertedInPayload: valid", &[373]),
        ("HS256 ValidSpacesInJsonHeader: valid", &[376]),
        ("HS256 ValidWhiteSpaceInJsonHeader: valid", &[377]),
        ("ES521 Figure27: valid", &[347, 351]),
        // The key is for PS256, and the token says PS384.
        ("PS256 Figure20: valid", &[346, 350]),
        // A token without claims is none.
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
async fn keys_are_judged_as_wycheproof_does() {
    let (run, differ) = run("json_web_key_test.json", Value::clone).await;
    assert_eq!(run, 26);
    let refused: [(&str, &[u64]); 3] = [
        ("null acceptsValid: valid", &[2]),
        ("null long_key: valid", &[13, 14, 15]),
        // A key of weak primes, as some cards made them until 2017, is accepted: an issuer that
        // publishes one is trusted with worse.
        ("null rejectsKeyWithRocaVulnerability: invalid", &[7]),
    ];
    assert_eq!(differ, exceptions(&refused));
}

fn exceptions(list: &[(&str, &[u64])]) -> BTreeMap<String, Vec<u64>> {
    list.iter().map(|(name, tests)| ((*name).to_owned(), tests.to_vec())).collect()
}
