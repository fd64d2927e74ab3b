//! Claims in the forms that issuers write.

use super::*;

/// Claim, JSON value, source and rejection. `None` means that the value is accepted.
const CLAIMS: &[(&str, &str, &str, Option<&str>)] = &[
    ("exp", "1800000300.25", "Python's time.time()", None),
    ("iat", "1799999990.5", "Python's time.time()", None),
    ("nbf", "1799999990.0", "Ruby's Time#to_f", None),
    ("exp", "1.8000003e9", "RFC 7519 section 2: a JSON number", None),
    ("iat", "1e9", "RFC 7519 section 2: a JSON number", None),
    ("nbf", "1E+9", "RFC 7519 section 2: a JSON number", None),
    // Some readers parse the string as a number and others do not (node-jsonwebtoken#293).
    ("iat", r#""1799999990""#, "System.IdentityModel, #838", Some("claim `iat` is not a number")),
    ("exp", r#""1800000300""#, "auth0/node-jsonwebtoken#293", Some("claim `exp` is not a number")),
    (
        "exp",
        r#""2030-01-01T00:00:00Z""#,
        "dotnet/aspnetcore#25419",
        Some("claim `exp` is not a number"),
    ),
    ("exp", "1800000300000", "JavaScript's Date.now()", Some("claim `exp` is not a number")),
    ("nbf", "null", "RFC 7519 section 4.1.5", Some("claim `nbf` is not a number")),
    ("nbf", "true", "RFC 7519 section 4.1.5", Some("claim `nbf` is not a number")),
    ("exp", "[1800000300]", "RFC 7519 section 4.1.4", Some("claim `exp` is not a number")),
    ("sub", "7", "jpadilla/pyjwt, before 2.10", Some("claim `sub` is not a string")),
    ("sub", r#"["user-7"]"#, "RFC 7519 section 4.1.2", Some("claim `sub` is not a string")),
    ("iss", "{}", "RFC 7519 section 4.1.1", Some("claim `iss` is not a string")),
    ("jti", "7", "RFC 7519 section 4.1.7", Some("claim `jti` is not a string")),
    ("client_id", r#"["a"]"#, "RFC 8693 section 4.3", Some("claim `client_id` is not a string")),
    ("aud", r#"["https://gateway.example"]"#, "RFC 7519 section 4.1.3", None),
    (
        "aud",
        r#"["https://gateway.example",7]"#,
        "RFC 7519 section 4.1.3",
        Some("claim `aud` is not a string"),
    ),
    (
        "aud",
        r#"{"0":"https://gateway.example"}"#,
        "PHP's json_encode",
        Some("claim `aud` is not a string"),
    ),
    ("scope", r#""openid infer""#, "RFC 8693 section 4.2", None),
    ("scope", r#"["openid","infer"]"#, "IdentityServer4#4982", None),
    ("scope", "[]", "IdentityServer4#4982", None),
    ("scope", r#"["infer",7]"#, "IdentityServer4#4982", Some("claim `scope` is not a string")),
    ("scope", r#"{"infer":true}"#, "IdentityServer4#4982", Some("claim `scope` is not a string")),
    ("scp", r#"["openid"]"#, "Okta, Ory Hydra", None),
    ("scp", r#""openid infer""#, "Entra ID, AD FS", None),
    ("scp", "7", "Okta", Some("claim `scp` is not a string")),
    ("permissions", "7", "Auth0: not read", None),
    ("roles", r#"{"a":[]}"#, "Zitadel: not read", None),
];

fn with(claim: &str, value: &str, pair: &Pair) -> String {
    let mut text = claims(json!({ claim: null })).to_string();
    text.insert_str(1, &format!("\"{claim}\":{value},"));
    pair.token_of(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &text)
}

#[tokio::test]
async fn claims_are_read_in_common_forms_and_named_in_other_forms() {
    let layer = layer();
    for (claim, value, party, rejection) in CLAIMS {
        let row = format!("{claim}: {value} ({party})");
        let outcome = try_token(&layer, &with(claim, value, &ED25519)).await;
        let Some(rejection) = rejection else {
            assert!(outcome.passed(), "{row}: {outcome:?}");
            continue;
        };
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{row}");
        let detail = outcome.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(rejection), "{row}: {detail}");
        assert!(outcome.challenge().contains(&detail), "{row}");

        // A forged token has the usual response.
        let forged = try_token(&layer, &with(claim, value, &crate::issuer::ED25519_OTHER)).await;
        let usual = try_token(&layer, &with("sub", "\"a\"", &crate::issuer::ED25519_OTHER)).await;
        assert_eq!(forged.visible(), usual.visible(), "{row}");
    }
    assert!(try_token(&layer, &token("EdDSA", json!({}))).await.passed());
}
