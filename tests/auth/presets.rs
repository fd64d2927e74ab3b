//! Each preset with tokens as the provider writes them, and tokens that almost fit.

use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, ClaimMapping, Jwt, JwtError, Keys, Provider},
    clock::SharedClock,
    identity::Identity,
    rejection::Refusal,
};

use super::{
    fake_clock,
    issuer::{NOW, RSA, claims, merge, set},
    try_token,
};

const ENTRA: &str = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
const ENTRA_V1: &str = "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/";
const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const OTHER_TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const COGNITO: &str = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_example";
const GOOGLE: &str = "https://accounts.google.com";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const AWS: &str = "https://0f1e2d3c.tokens.sts.global.api.aws";
const AWS_CLAIMS: &str = "https://sts.amazonaws.com/";

fn jwt(name: &str, issuer: &str, audience: &str) -> Jwt {
    let keys = Keys::from_jwks(set(&[RSA.jwk_with(json!({ "kid": "k", "use": "sig" }))])).unwrap();
    Jwt::new(keys, issuer, audience)
        .clock(SharedClock::new(fake_clock()))
        .provider(name.parse::<Provider>().unwrap())
        .unwrap()
}

/// A token of the issuer with the audience.
fn signed(issuer: &str, audience: &str, own: Value) -> String {
    let claims = merge(claims(json!({ "iss": issuer, "aud": audience })), own);
    RSA.token(&json!({ "alg": "RS256", "kid": "k" }), &claims)
}

/// The members of both. A null of the second removes a claim of [`signed`].
fn with(mut own: Value, more: Value) -> Value {
    own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    own
}

/// Subject, tenant, client, roles and groups.
fn facts(identity: &Identity) -> Value {
    json!([
        identity.subject(),
        identity.tenant(),
        identity.client(),
        identity.roles().collect::<Vec<_>>(),
        identity.groups().collect::<Vec<_>>(),
    ])
}

async fn expect_facts(layer: &AuthLayer, token: &str, expected: Value) {
    let outcome = try_token(layer, token).await;
    assert!(outcome.passed(), "{expected}: {outcome:?}");
    assert_eq!(facts(&outcome.identity.unwrap()), expected);
}

/// Asserts that a token with a valid signature is rejected with these words.
async fn expect_rejection(layer: &AuthLayer, token: &str, words: &str) {
    let outcome = try_token(layer, token).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{words}");
    assert!(outcome.challenge().contains(words), "{words}: {}", outcome.challenge());
}

#[tokio::test]
async fn oidc_adds_nothing() {
    let issuer = "https://gitlab.com";
    let layer = AuthLayer::new(jwt("oidc", issuer, "gateway"));
    let own = json!({ "azp": "app", "groups": ["a"], "roles": ["b"], "tid": "c" });
    expect_facts(&layer, &signed(issuer, "gateway", own), json!(["user-7", null, "app", [], []]))
        .await;
}

#[tokio::test]
async fn okta() {
    let issuer = "https://dev-1.okta.com/oauth2/default";
    let layer =
        AuthLayer::new(jwt("okta", issuer, "api://default").required_scopes(["infer"]).unwrap());
    // developer.okta.com, "Access token payload".
    let own = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "uid": "00uid4BxXw6I6TV4m0g3",
        "cid": "0oabucvyc38HLL1ef0h7", "scp": ["openid", "infer"], "sub": "a@example.com",
        "groups": ["Everyone", "llm-pro"],
    });
    let expected =
        json!(["a@example.com", null, "0oabucvyc38HLL1ef0h7", [], ["Everyone", "llm-pro"]]);
    expect_facts(&layer, &signed(issuer, "api://default", own), expected).await;
    // The audience of an identity token is the client.
    let id = json!({ "idp": "00o1", "amr": ["pwd"], "preferred_username": "a@example.com" });
    expect_rejection(&layer, &signed(issuer, "0oabucvyc38HLL1ef0h7", id), "`aud`").await;
    // The org authorization server.
    let org = signed("https://dev-1.okta.com", "api://default", json!({ "scp": ["infer"] }));
    expect_rejection(&layer, &org, "`iss`").await;
    let wrong = signed(issuer, "api://default", json!({ "cid": 7, "scp": ["infer"] }));
    expect_rejection(&layer, &wrong, "claim `cid` is not a non-empty string").await;
}

#[tokio::test]
async fn cognito_access_tokens() {
    let client = "57cbishk4j24pabc1234567890";
    let layer = AuthLayer::new(jwt("cognito", COGNITO, client));
    // docs.aws.amazon.com/cognito, "Understanding the access token".
    let access = json!({
        "aud": null, "client_id": client, "token_use": "access", "scope": "openid infer",
        "cognito:groups": ["testgroup"], "username": "my-test-user", "auth_time": NOW - 20,
        "origin_jti": "aaaaaaaa-bbbb", "event_id": "64f513be", "version": 2,
    });
    let expected = json!(["user-7", null, client, [], ["testgroup"]]);
    expect_facts(&layer, &signed(COGNITO, client, access.clone()), expected.clone()).await;
    // With a resource server (RFC 8707) the token has `aud` too.
    let with_aud = with(access.clone(), json!({ "aud": client }));
    expect_facts(&layer, &signed(COGNITO, client, with_aud), expected).await;

    let id =
        json!({ "token_use": "id", "cognito:username": "my-test-user", "email": "a@b.example" });
    expect_rejection(&layer, &signed(COGNITO, client, id), "claim `token_use`").await;
    let unnamed = with(access.clone(), json!({ "token_use": null }));
    expect_rejection(&layer, &signed(COGNITO, client, unnamed), "claim `token_use` is missing")
        .await;
    let other = with(access.clone(), json!({ "client_id": "another" }));
    expect_rejection(&layer, &signed(COGNITO, client, other), "`aud`").await;
    let pool = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other";
    expect_rejection(&layer, &signed(pool, client, access), "`iss`").await;
}

#[tokio::test]
async fn cognito_id_tokens_only_when_asked() {
    let client = "57cbishk4j24pabc1234567890";
    let layer = AuthLayer::new(jwt("cognito-id-token", COGNITO, client));
    let id = json!({ "token_use": "id", "cognito:groups": ["g"], "cognito:username": "u" });
    expect_facts(&layer, &signed(COGNITO, client, id), json!(["user-7", null, client, [], ["g"]]))
        .await;
    let access = json!({ "aud": null, "client_id": client, "token_use": "access" });
    expect_rejection(&layer, &signed(COGNITO, client, access), "`aud`").await;
    let access = json!({ "client_id": client, "token_use": "access" });
    expect_rejection(&layer, &signed(COGNITO, client, access), "claim `token_use`").await;
}

#[tokio::test]
async fn entra_tokens_of_both_versions() {
    let audience = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    let layer = AuthLayer::new(jwt("entra", ENTRA, audience));
    // learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
    let second = json!({
        "azp": "client-1", "azpacr": "0", "scp": "access_as_user infer", "ver": "2.0", "tid": TENANT,
        "roles": ["Infer"], "groups": ["0760b6cf"], "uti": "fqiBqXLPj0eQa82S-IYFAA", "oid": "oid",
    });
    let expected = json!(["user-7", TENANT, "client-1", ["Infer"], ["0760b6cf"]]);
    expect_facts(&layer, &signed(ENTRA, audience, second.clone()), expected.clone()).await;
    let first = json!({
        "appid": "client-1", "appidacr": "1", "ver": "1.0", "tid": TENANT, "roles": ["Infer"],
        "idp": "https://sts.windows.net/x/",
    });
    let outcome = try_token(&layer, &signed(ENTRA_V1, audience, first.clone())).await;
    let identity = outcome.identity.unwrap();
    assert_eq!(identity.issuer(), ENTRA, "the name of the settings");
    assert_eq!(facts(&identity), json!(["user-7", TENANT, "client-1", ["Infer"], []]));

    for (issuer, own, words) in [
        (ENTRA, with(second.clone(), json!({ "tid": null })), "claim `tid` is missing"),
        (ENTRA, with(second.clone(), json!({ "tid": OTHER_TENANT })), "claim `tid`"),
        (ENTRA_V1, with(first, json!({ "tid": OTHER_TENANT })), "claim `tid`"),
        (ENTRA, with(second.clone(), json!({ "tid": [TENANT] })), "claim `tid`"),
        // An identity token.
        (
            ENTRA,
            with(second.clone(), json!({ "azp": null, "scp": null })),
            "claim `azp` is missing",
        ),
    ] {
        expect_rejection(&layer, &signed(issuer, audience, own), words).await;
    }
    for issuer in [
        format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"),
        "https://login.microsoftonline.com/common/v2.0".to_owned(),
        "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
    ] {
        expect_rejection(&layer, &signed(&issuer, audience, second.clone()), "`iss`").await;
    }
}

#[tokio::test]
async fn entra_tenants_are_separate_issuers_with_the_same_keys() {
    let other = format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0");
    let layer = AuthLayer::new(jwt("entra", ENTRA, "api")).or(jwt("entra", &other, "api"));
    for (issuer, tenant) in [(ENTRA, TENANT), (&other, OTHER_TENANT)] {
        let own = json!({ "tid": tenant, "azp": "c" });
        let expected = json!(["user-7", tenant, "c", [], []]);
        expect_facts(&layer, &signed(issuer, "api", own), expected).await;
    }
    // The keys are those of all tenants, so `iss` and `tid` must agree.
    let mixed = json!({ "tid": OTHER_TENANT, "azp": "c" });
    expect_rejection(&layer, &signed(ENTRA, "api", mixed), "claim `tid`").await;
}

#[test]
fn entra_has_no_common_issuer() {
    let keys = Keys::from_jwks(set(&[RSA.jwk()])).unwrap();
    for tenant in ["common", "organizations", "consumers"] {
        let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let error = Jwt::new(keys.clone(), issuer, "a").provider(Provider::Entra).unwrap_err();
        assert!(matches!(error, JwtError::UnexpectedIssuer { .. }));
        assert!(error.to_string().contains("with the id of one tenant"), "{error}");
    }
}

#[tokio::test]
async fn auth0() {
    let issuer = "https://my-domain.auth0.com/";
    let api = "https://example.com/health-api";
    let layer = AuthLayer::new(jwt("auth0", issuer, api));
    let own = json!({
        "sub": "auth0|123456", "aud": [api, "https://my-domain.auth0.com/userinfo"],
        "azp": "my_client_id", "scope": "openid infer", "permissions": ["read:patients"],
    });
    let expected = json!(["auth0|123456", null, "my_client_id", ["read:patients"], []]);
    expect_facts(&layer, &signed(issuer, api, own), expected).await;
    // An identity token is for the client.
    expect_rejection(&layer, &signed(issuer, "my_client_id", json!({})), "`aud`").await;
    let slash = signed("https://my-domain.auth0.com", api, json!({}));
    expect_rejection(&layer, &slash, "`iss`").await;
    // Claims of actions have URLs as names.
    let mapping = ClaimMapping::new().roles("https://acme.example/roles");
    let layer = AuthLayer::new(jwt("auth0", issuer, api).claims(mapping));
    let own = json!({ "azp": "c", "https://acme.example/roles": ["admin"], "permissions": ["x"] });
    expect_facts(&layer, &signed(issuer, api, own), json!(["user-7", null, "c", ["admin"], []]))
        .await;
}

#[tokio::test]
async fn keycloak() {
    let issuer = "https://sso.example/realms/acme";
    let layer = AuthLayer::new(jwt("keycloak", issuer, "gateway"));
    let own = json!({
        "typ": "Bearer", "azp": "web", "acr": "1", "aud": ["gateway", "account"],
        "sid": "c1a3c1d2", "realm_access": { "roles": ["offline_access", "user"] },
        "resource_access": { "gateway": { "roles": ["infer"] }, "account": { "roles": ["manage"] } },
        "groups": ["/staff"], "scope": "profile email", "preferred_username": "a",
    });
    let expected = json!(["user-7", null, "web", ["offline_access", "user", "infer"], ["/staff"]]);
    expect_facts(&layer, &signed(issuer, "gateway", own.clone()), expected).await;
    for (more, words) in [
        (json!({ "typ": "ID" }), "claim `typ`"),
        (json!({ "typ": "Refresh" }), "claim `typ`"),
        (json!({ "realm_access": ["user"] }), "claim `realm_access.roles`"),
        (json!({ "realm_access": { "roles": [7] } }), "claim `realm_access.roles`"),
        (json!({ "resource_access": { "gateway": "x" } }), "claim `resource_access.gateway.roles`"),
        (json!({ "sub": null }), "claim `sub` is missing or empty"),
        (json!({ "aud": "account" }), "`aud`"),
    ] {
        let token = signed(issuer, "gateway", with(own.clone(), more));
        expect_rejection(&layer, &token, words).await;
    }
    let realm = signed("https://sso.example/realms/other", "gateway", own.clone());
    expect_rejection(&layer, &realm, "`iss`").await;

    // The chosen claim names the client's own tokens. The other parts stay those of the preset.
    let mapping = ClaimMapping::new().subject("sub").subject("client_id");
    let layer = AuthLayer::new(jwt("keycloak", issuer, "gateway").claims(mapping));
    let service = with(own.clone(), json!({ "sub": null, "client_id": "batch", "azp": "batch" }));
    let roles = json!(["offline_access", "user", "infer"]);
    expect_facts(
        &layer,
        &signed(issuer, "gateway", service),
        json!(["batch", null, "batch", roles, ["/staff"]]),
    )
    .await;
    expect_facts(
        &layer,
        &signed(issuer, "gateway", own),
        json!(["user-7", null, "web", roles, ["/staff"]]),
    )
    .await;
}

#[tokio::test]
async fn google_has_two_names_and_is_one_issuer() {
    let client = "1234987819200.apps.googleusercontent.com";
    let own = json!({ "azp": client, "hd": "example.com", "email_verified": true });
    for configured in [GOOGLE, "accounts.google.com"] {
        let layer = AuthLayer::new(jwt("google", configured, client));
        for name in [GOOGLE, "accounts.google.com"] {
            let outcome = try_token(&layer, &signed(name, client, own.clone())).await;
            let identity = outcome.identity.unwrap();
            assert_eq!(identity.issuer(), configured);
            assert_eq!(facts(&identity), json!(["user-7", null, client, [], []]));
        }
        for name in ["http://accounts.google.com", "https://accounts.google.com/"] {
            expect_rejection(&layer, &signed(name, client, own.clone()), "`iss`").await;
        }
    }
    let mapping = ClaimMapping::new().tenant("hd").tenant_required();
    let layer = AuthLayer::new(jwt("google", GOOGLE, client).claims(mapping));
    let expected = json!(["user-7", "example.com", client, [], []]);
    expect_facts(&layer, &signed(GOOGLE, client, own.clone()), expected).await;
    // A private account has no domain.
    let private = with(own, json!({ "hd": null }));
    expect_rejection(&layer, &signed(GOOGLE, client, private), "claim `hd`").await;
}

#[tokio::test]
async fn github_actions() {
    let layer = AuthLayer::new(jwt("github-actions", GITHUB, "gateway"));
    let own = json!({
        "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "ref": "refs/heads/main",
        "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "run_id": "1",
        "repository_owner_id": "65", "job_workflow_ref": "octo-org/x/.github/workflows/a.yml@main",
    });
    let expected = json!(["repo:octo-org/octo-repo:environment:prod", "octo-org", null, [], []]);
    expect_facts(&layer, &signed(GITHUB, "gateway", own.clone()), expected).await;
    let unowned = with(own.clone(), json!({ "repository_owner": null }));
    expect_rejection(&layer, &signed(GITHUB, "gateway", unowned), "claim `repository_owner`").await;
    let enterprise = format!("{GITHUB}/octo-inc");
    expect_rejection(&layer, &signed(&enterprise, "gateway", own), "`iss`").await;
    let aud =
        signed(GITHUB, "https://github.com/octo-org", json!({ "repository_owner": "octo-org" }));
    expect_rejection(&layer, &aud, "`aud`").await;
}

#[tokio::test]
async fn kubernetes_service_accounts() {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let layer = AuthLayer::new(jwt("kubernetes", issuer, "gateway"));
    // kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin.
    let own = json!({
        "aud": ["gateway"], "jti": "a", "nbf": NOW - 10, "sub": "system:serviceaccount:team-a:batch",
        "kubernetes.io": {
            "namespace": "team-a",
            "node": { "name": "127.0.0.1", "uid": "b" },
            "pod": { "name": "batch-1", "uid": "c" },
            "serviceaccount": { "name": "batch", "uid": "d" },
            "warnafter": NOW + 100,
        },
    });
    let expected = json!(["system:serviceaccount:team-a:batch", "team-a", null, [], []]);
    expect_facts(&layer, &signed(issuer, "gateway", own.clone()), expected).await;
    let namespace = |name: Value| json!({ "kubernetes.io": { "namespace": name } });
    for (more, words) in [
        (namespace(json!("team-b")), "claim `sub` is not a service account"),
        (namespace(json!("team")), "claim `sub` is not a service account"),
        (namespace(json!(null)), "claim `kubernetes.io.namespace`"),
        (json!({ "kubernetes.io": null }), "claim `kubernetes.io.namespace`"),
        (json!({ "kubernetes.io": "team-a" }), "claim `kubernetes.io.namespace`"),
        (json!({ "sub": "system:node:team-a" }), "claim `sub`"),
        (json!({ "sub": "system:serviceaccount:team-a:" }), "claim `sub`"),
        (json!({ "sub": "system:serviceaccount:team-a:x:y" }), "claim `sub`"),
        // The token of a secret.
        (
            json!({
                "exp": null, "kubernetes.io": null, "kubernetes.io/serviceaccount/namespace": "team-a",
            }),
            "claim `exp` is missing",
        ),
        (json!({ "aud": ["https://kubernetes.default.svc"] }), "`aud`"),
    ] {
        let token = signed(issuer, "gateway", with(own.clone(), more));
        expect_rejection(&layer, &token, words).await;
    }
}

#[tokio::test]
async fn aws_outbound_identity_federation() {
    let layer = AuthLayer::new(jwt("aws-iam", AWS, "https://gateway.example"));
    let role = "arn:aws:iam::123456789012:role/batch";
    // docs.aws.amazon.com/IAM, "Understanding token claims".
    let own = json!({
        "sub": role, "jti": "e4b5f2c1",
        AWS_CLAIMS: {
            "aws_account": "123456789012", "source_region": "us-east-1", "org_id": "o-abc1234567",
            "ou_path": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"],
            "principal_tags": { "team": "search", "tier": "pro" },
            "lambda_source_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        },
    });
    let expected = json!([role, "123456789012", null, [], []]);
    let token = signed(AWS, "https://gateway.example", own.clone());
    expect_facts(&layer, &token, expected).await;
    for (more, words) in [
        (json!({ AWS_CLAIMS: null }), "aws_account` is missing"),
        (json!({ AWS_CLAIMS: {} }), "aws_account` is missing"),
        (json!({ AWS_CLAIMS: { "aws_account": 123456789012_u64 } }), "aws_account` is not"),
        (json!({ AWS_CLAIMS: [] }), "aws_account` is within"),
        (json!({ "aws_account": "123456789012", AWS_CLAIMS: null }), "aws_account` is missing"),
        (json!({ "aud": "https://huggingface.co" }), "`aud`"),
    ] {
        let token = signed(AWS, "https://gateway.example", with(own.clone(), more));
        expect_rejection(&layer, &token, words).await;
    }
    let account = "https://ffffffff.tokens.sts.global.api.aws";
    let other = signed(account, "https://gateway.example", own.clone());
    expect_rejection(&layer, &other, "`iss`").await;

    let mapping = ClaimMapping::new().plan([AWS_CLAIMS, "principal_tags", "tier"]);
    let jwt = jwt("aws-iam", AWS, "https://gateway.example").claims(mapping);
    let identity = try_token(&AuthLayer::new(jwt), &token).await.identity.unwrap();
    assert_eq!((identity.plan(), identity.tenant()), (Some("pro"), Some("123456789012")));
}

#[tokio::test]
async fn plan_is_selected_by_a_group() {
    let mapping = ClaimMapping::new()
        .plan_if_contains("groups", "llm-pro", "pro")
        .plan_if_equals("tier", "gold", "pro")
        .plan("plan");
    let issuer = "https://dev-1.okta.com/oauth2/default";
    let layer = AuthLayer::new(jwt("okta", issuer, "api").claims(mapping));
    for (own, plan) in [
        (json!({ "groups": ["a", "llm-pro"] }), Some("pro")),
        (json!({ "groups": "llm-pro" }), Some("pro")),
        (json!({ "groups": ["llm-pro-trial"], "tier": "gold" }), Some("pro")),
        (json!({ "groups": [], "tier": "golden", "plan": "basic" }), Some("basic")),
        (json!({}), None),
    ] {
        let outcome = try_token(&layer, &signed(issuer, "api", own.clone())).await;
        assert_eq!(outcome.identity.unwrap().plan(), plan, "{own}");
    }
    let wrong = signed(issuer, "api", json!({ "tier": 7 }));
    expect_rejection(&layer, &wrong, "claim `tier` is not a non-empty string").await;
}
