//! Key sets and tokens of real identity providers.
//!
//! Each row has a provider, the source of its format and the expected result. The keys are generated
//! here. All other members are the provider's.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tower::service_fn;
use tower_inference::{
    auth::{AuthLayer, Jwt, Keys, KeysError, RemoteKeys},
    clock::SharedClock,
    rejection::Refusal,
};

use super::{
    fake_clock,
    fake_provider::JWKS_URI,
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

fn parties() -> Vec<Party> {
    let rs256 = |kid: &str| json!({ "alg": "RS256", "typ": "JWT", "kid": kid });
    vec![
        Party {
            name: "Auth0",
            source: "auth0.com/docs, JSON Web Key Set Properties; Access Token Profiles",
            issuer: "https://my-domain.auth0.com/",
            audience: "https://example.com/health-api",
            set: vec![rsa(json!({
                "alg": "RS256", "use": "sig", "x5c": [CERTIFICATE], "x5t": THUMBPRINT, "kid": "k",
            }))],
            header: rs256("k"),
            claims: json!({
                "sub": "auth0|123456",
                "aud": ["https://example.com/health-api", "https://my-domain.auth0.com/userinfo"],
                "azp": "my_client_id",
                "scope": "openid profile read:patients",
                // Permissions of the user. They are not scopes.
                "permissions": ["read:patients", "infer"],
            }),
            more: as_is,
            scopes: &["openid", "profile", "read:patients"],
        },
        Party {
            name: "Auth0, RFC 9068 profile",
            source: "auth0.com/docs, Access Token Profiles",
            issuer: "https://my-domain.auth0.com/",
            audience: "https://example.com/health-api",
            set: vec![rsa(json!({ "alg": "RS256", "use": "sig", "kid": "k" }))],
            header: json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k" }),
            claims: json!({
                "aud": "https://example.com/health-api", "client_id": "my_client_id",
                "jti": "73WakrfVbNJBaAmhQtEeDv", "scope": "infer",
            }),
            more: Jwt::strict_access_tokens,
            scopes: &["infer"],
        },
        Party {
            name: "Okta, custom authorization server",
            source: "developer.okta.com/docs/api/openapi/okta-oauth/guides/overview",
            issuer: "https://dev-1.okta.com/oauth2/default",
            audience: "api://default",
            set: vec![rsa(json!({ "alg": "RS256", "kid": "k", "use": "sig" }))],
            header: json!({ "kid": "k", "alg": "RS256" }),
            claims: json!({
                "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
                "aud": "api://default", "cid": "0oabucvyc38HLL1ef0h7", "uid": "00uid4BxXw6I6TV4m0g3",
                "scp": ["openid", "infer"], "auth_time": NOW - 20, "sub": "a@example.com",
            }),
            more: as_is,
            scopes: &["openid", "infer"],
        },
        Party {
            name: "Entra ID, v2.0: neither alg nor equal issuers in the set",
            source: "learn.microsoft.com/entra/identity-platform/access-token-claims-reference; \
                     panva/wellknown, entra-common",
            issuer: "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            audience: "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            set: vec![
                RSA_OTHER.jwk_with(json!({
                    "use": "sig", "kid": "other", "x5t": "other", "x5c": [CERTIFICATE],
                    "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
                })),
                rsa(json!({
                    "use": "sig", "kid": "k", "x5t": "k", "x5c": [CERTIFICATE],
                    "cloud_instance_name": "microsoftonline.com",
                    "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
                })),
            ],
            header: rs256("k"),
            claims: json!({
                "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "nbf": NOW - 10, "aio": "AXQAi/8IAAAA",
                "azp": "6e74172b", "azpacr": "0", "scp": "access_as_user infer", "ver": "2.0",
                "tid": "9188040d-6c67-4c5b-b112-36a304b66dad", "uti": "fqiBqXLPj0eQa82S-IYFAA",
            }),
            more: |jwt| jwt.tenant_claim("tid"),
            scopes: &["access_as_user", "infer"],
        },
        Party {
            name: "Entra ID, v1.0, application alone: roles, which are no scopes",
            source: "learn.microsoft.com/entra/identity-platform/access-token-claims-reference",
            issuer: "https://sts.windows.net/fa15d692-e9c7-4460-a743-29f29522229/",
            audience: "api://gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "x5t": "k", "x5c": [CERTIFICATE] }))],
            header: json!({ "typ": "JWT", "alg": "RS256", "x5t": "k", "kid": "k" }),
            claims: json!({
                "aud": "api://gateway", "nbf": NOW - 10, "appid": "75dbe77f", "appidacr": "1",
                "idp": "https://sts.windows.net/x/", "roles": ["Infer"], "ver": "1.0",
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Cognito: client_id in place of aud",
            source: "docs.aws.amazon.com/cognito, Understanding the access token",
            issuer: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_example",
            audience: "57cbishk4j24pabc1234567890",
            set: vec![
                rsa(json!({ "kid": "k", "alg": "RS256", "use": "sig" })),
                RSA_OTHER.jwk_with(json!({ "kid": "id", "alg": "RS256", "use": "sig" })),
            ],
            header: json!({ "kid": "k", "alg": "RS256" }),
            claims: json!({
                "aud": null, "client_id": "57cbishk4j24pabc1234567890", "token_use": "access",
                "scope": "phone openid infer", "auth_time": NOW - 20, "version": 2,
                "cognito:groups": ["testgroup"], "username": "my-test-user",
            }),
            more: Jwt::client_id_as_audience,
            scopes: &["phone", "openid", "infer"],
        },
        Party {
            name: "Keycloak: a key for encryption in the same set",
            source: "keycloak.org/docs, Server Administration Guide, Configuring realm keys",
            issuer: "https://keycloak.example/realms/demo",
            audience: "gateway",
            set: vec![
                RSA_OTHER.jwk_with(json!({
                    "kid": "enc", "alg": "RSA-OAEP", "use": "enc", "x5c": [CERTIFICATE],
                    "x5t": "3X5", "x5t#S256": "7bq",
                })),
                rsa(json!({
                    "kid": "k", "alg": "RS256", "use": "sig", "x5c": [CERTIFICATE], "x5t": "gVL",
                    "x5t#S256": "nZR",
                })),
            ],
            header: rs256("k"),
            claims: json!({
                "aud": ["gateway", "account"], "typ": "Bearer", "azp": "app", "acr": "1",
                "session_state": "5d0b", "allowed-origins": ["*"],
                "realm_access": { "roles": ["offline_access"] },
                "resource_access": { "account": { "roles": ["manage-account"] } },
                "scope": "profile email infer", "email_verified": false,
            }),
            more: as_is,
            scopes: &["profile", "email", "infer"],
        },
        Party {
            name: "Google, identity token",
            source: "developers.google.com/identity/openid-connect; panva/wellknown, google",
            issuer: "https://accounts.google.com",
            audience: "1234987819200.apps.googleusercontent.com",
            set: vec![
                rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" })),
                RSA_OTHER.jwk_with(json!({ "alg": "RS256", "kid": "other", "use": "sig" })),
            ],
            header: rs256("k"),
            claims: json!({
                "azp": "1234987819200.apps.googleusercontent.com", "hd": "example.com",
                "aud": "1234987819200.apps.googleusercontent.com", "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
                "email": "a@example.com", "email_verified": "true",
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "GitHub Actions",
            source: "docs.github.com/actions, OpenID Connect reference",
            issuer: "https://token.actions.githubusercontent.com",
            audience: "gateway",
            set: vec![rsa(json!({
                "use": "sig", "kid": "k", "x5c": [CERTIFICATE], "x5t": "ykNaY4qM", "alg": "RS256",
            }))],
            header: json!({ "typ": "JWT", "alg": "RS256", "x5t": "ykNaY4qM", "kid": "k" }),
            claims: json!({
                "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod",
                "aud": "gateway", "ref": "refs/heads/main", "run_id": "example-run-id",
                "run_number": "10", "run_attempt": "2", "nbf": NOW - 10,
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "GitLab CI",
            source: "docs.gitlab.com/ci/secrets/id_token_authentication; panva/wellknown, gitlab",
            issuer: "https://gitlab.com",
            audience: "https://gateway.example",
            set: vec![rsa(json!({ "kid": "k", "use": "sig", "alg": "RS256" }))],
            header: json!({ "kid": "k", "typ": "JWT", "alg": "RS256" }),
            claims: json!({
                "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
                "aud": ["https://gateway.example"], "nbf": NOW - 10, "user_id": "4",
                "ref_protected": "false", "groups_direct": ["mygroup/mysubgroup"],
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Kubernetes, projected service account token",
            source: "kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin",
            issuer: "https://kubernetes.default.svc.cluster.local",
            audience: "gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" }))],
            header: json!({ "alg": "RS256", "kid": "k" }),
            claims: json!({
                "aud": ["gateway"], "jti": "ea28ed49", "nbf": NOW - 10,
                "kubernetes.io": {
                    "namespace": "my-namespace",
                    "pod": { "name": "my-pod", "uid": "5e0bd49b" },
                    "serviceaccount": { "name": "my-sa", "uid": "14ee3fa4" },
                    "warnafter": NOW + 100,
                },
                "sub": "system:serviceaccount:my-namespace:my-sa",
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Hugging Face, identity token",
            source: "huggingface.co/docs/hub/oauth and /.well-known/openid-configuration",
            issuer: "https://huggingface.co",
            audience: "5fa5b3a3-client",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" }))],
            header: rs256("k"),
            claims: json!({
                "aud": "5fa5b3a3-client", "preferred_username": "a", "isPro": false,
                "picture": "https://huggingface.co/avatars/a.svg", "orgs": [{ "sub": "o", "name": "b" }],
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Dex",
            source: "dexidp.io/docs, Custom scopes, claims and client features",
            issuer: "https://dex.example/dex",
            audience: "gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" }))],
            header: json!({ "alg": "RS256", "kid": "k" }),
            claims: json!({
                "sub": "CgVhZG1pbhIFbG9jYWw", "aud": "gateway", "at_hash": "M0GzYw",
                "email": "a@example.com", "groups": ["admins"],
                "federated_claims": { "connector_id": "local", "user_id": "1" },
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Zitadel: an audience for each project",
            source: "zitadel.com/docs/apis/openidoauth/claims",
            issuer: "https://instance.zitadel.cloud",
            audience: "69234237810729019",
            set: vec![rsa(json!({ "use": "sig", "kid": "317394382936", "alg": "RS256" }))],
            header: json!({ "alg": "RS256", "kid": "317394382936", "typ": "JWT" }),
            claims: json!({
                "aud": ["69234237810729019@demo", "69234237810729019"], "jti": "317",
                "urn:zitadel:iam:org:project:roles": { "infer": { "1": "acme.zitadel.cloud" } },
            }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Ory Hydra: scp as an array",
            source: "github.com/ory/hydra/issues/3524",
            issuer: "https://hydra.example/",
            audience: "gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "public:hydra.jwt", "alg": "RS256" }))],
            header: json!({ "alg": "RS256", "kid": "public:hydra.jwt", "typ": "JWT" }),
            claims: json!({
                "aud": ["gateway"], "client_id": "app", "ext": {}, "nbf": NOW - 10,
                "scp": ["openid", "infer"],
            }),
            more: as_is,
            scopes: &["openid", "infer"],
        },
        Party {
            name: "Ory Hydra, strategies.jwt.scope_claim: both",
            source: "docs.rs/ory-client, HydraStrategiesJwtScopeClaimEnum",
            issuer: "https://hydra.example/",
            audience: "gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" }))],
            header: rs256("k"),
            claims: json!({ "aud": ["gateway"], "scope": ["infer"], "scp": "infer" }),
            more: as_is,
            scopes: &["infer", "infer"],
        },
        Party {
            name: "Ping (AM): kids of base64, keys of every kind, scope as an array",
            source: "docs.pingidentity.com/pingoneaic/am-oidc1/managing-jwk_uri",
            issuer: "https://tenant.example/am/oauth2/alpha",
            audience: "app",
            set: vec![
                P384.jwk_with(json!({ "kid": "pZSfpEq8tQPeiIe3fnnaWnnr/Zc=", "use": "enc" })),
                json!({
                    "kty": "EC", "kid": "I4x/IijvdDsUZMghwNq2gC/7pYQ=", "use": "sig", "crv": "P-521",
                    "x": encode([1; 66]), "y": encode([1; 66]), "alg": "ES512",
                }),
                RSA_OTHER.jwk_with(
                    json!({ "kid": "DkKMPE7hFVEn=", "use": "enc", "alg": "RSA-OAEP-256" }),
                ),
                rsa(json!({
                    "kid": "wU3ifIIaLOUAReRB/FG6eM1P1QM=", "use": "sig", "alg": "RS256",
                    "x5t": "5eOfy1Nn2MMIKVRRkq0OgFAw348", "x5c": [CERTIFICATE],
                })),
            ],
            header: json!({
                "typ": "JWT", "alg": "RS256", "kid": "wU3ifIIaLOUAReRB/FG6eM1P1QM=",
            }),
            claims: json!({
                "aud": "app", "tokenName": "access_token", "realm": "/alpha", "nbf": NOW - 10,
                "scope": ["openid", "infer"], "expires_in": 3_600, "auditTrackingId": "d5d7",
            }),
            more: as_is,
            scopes: &["openid", "infer"],
        },
        Party {
            name: "AD FS: the issuer of access tokens is another than that of discovery",
            source: "learn.microsoft.com/windows-server/identity/ad-fs, OpenID Connect/OAuth",
            issuer: "http://adfs.example/adfs/services/trust",
            audience: "microsoft:identityserver:api",
            set: vec![rsa(json!({
                "use": "sig", "alg": "RS256", "kid": "k", "x5t": "k", "x5c": [CERTIFICATE],
            }))],
            header: json!({ "typ": "JWT", "alg": "RS256", "x5t": "k", "kid": "k" }),
            claims: json!({
                "aud": "microsoft:identityserver:api", "apptype": "Confidential", "appid": "75d",
                "scp": "openid infer", "ver": "1.0",
            }),
            more: as_is,
            scopes: &["openid", "infer"],
        },
        Party {
            name: "AD FS before 2016: x5t and no kid, two keys during a rollover",
            source: "learn.microsoft.com/windows-server/identity/ad-fs; RFC 7515 section 4.1.4",
            issuer: "http://adfs.example/adfs/services/trust",
            audience: "gateway",
            set: vec![
                RSA_OTHER.jwk_with(json!({ "use": "sig", "x5t": "next" })),
                rsa(json!({ "use": "sig", "x5t": "k" })),
            ],
            header: json!({ "typ": "JWT", "alg": "RS256", "x5t": "k" }),
            claims: json!({ "aud": "gateway" }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "IdentityServer, Duende: scope as an array",
            source: "DuendeArchive/IdentityServer4#4982, wundergraph/cosmo#3251",
            issuer: "https://issuer.example",
            audience: "gateway",
            set: vec![rsa(json!({ "use": "sig", "kid": "k", "alg": "RS256" }))],
            header: json!({ "alg": "RS256", "kid": "k", "typ": "at+jwt" }),
            claims: json!({
                "aud": "gateway", "nbf": NOW, "client_id": "cli", "jti": "j1", "amr": ["pwd"],
                "scope": ["openid", "infer"],
            }),
            more: |jwt| jwt.required_scopes(["infer"]).unwrap(),
            scopes: &["openid", "infer"],
        },
        Party {
            name: "Microsoft.IdentityModel: empty arrays for what was not set",
            source: "AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet#2254",
            issuer: "https://issuer.example",
            audience: "gateway",
            set: vec![rsa(json!({
                "key_ops": [], "kid": "k", "oth": [], "use": "sig", "x5c": [],
            }))],
            header: rs256("k"),
            claims: json!({ "aud": "gateway" }),
            more: as_is,
            scopes: &[],
        },
        Party {
            name: "Spring Authorization Server: neither use nor alg, scope as an array",
            source: "docs.spring.io/spring-authorization-server, Configuration Model",
            issuer: "http://localhost:9000",
            audience: "messaging-client",
            set: vec![rsa(json!({ "kid": "k" }))],
            header: json!({ "kid": "k", "alg": "RS256" }),
            claims: json!({
                "aud": "messaging-client", "nbf": NOW - 10, "jti": "a5c4",
                "scope": ["message.read", "message.write"],
            }),
            more: as_is,
            scopes: &["message.read", "message.write"],
        },
        Party {
            name: "Cloud Foundry UAA: padding, PEM beside the numbers, jku in the header",
            source: "cloudfoundry/uaa#449, cloudfoundry/uaa#530",
            issuer: "https://uaa.example/oauth/token",
            audience: "gateway",
            set: vec![rsa(json!({
                "alg": "RS256", "use": "sig", "kid": "k", "value": "-----BEGIN PUBLIC KEY-----",
                "n": padded(&spelled("n")), "e": padded(&spelled("e")),
            }))],
            header: json!({
                "alg": "RS256", "jku": "https://uaa.example/token_keys", "kid": "k", "typ": "JWT",
            }),
            claims: json!({
                "aud": ["gateway", "app"], "cid": "app", "client_id": "app", "zid": "uaa",
                "rev_sig": "1ca8", "authorities": ["infer"], "scope": ["infer", "uaa.user"],
            }),
            more: as_is,
            scopes: &["infer", "uaa.user"],
        },
        Party {
            name: "PayPal: a zero octet before n, EC keys with acr, X25519 with padding",
            source: "panva/wellknown, paypal",
            issuer: "https://www.paypal.com",
            audience: "app",
            set: vec![
                rsa(json!({ "alg": "RS256", "use": "sig", "kid": "k", "n": signed("n") })),
                P256.jwk_with(json!({ "kid": "f16b", "acr": ["idp", "server"] })),
                json!({ "kty": "OKP", "crv": "X25519", "x": padded(&encode([7; 32])), "kid": "753" }),
            ],
            header: rs256("k"),
            claims: json!({ "aud": "app" }),
            more: as_is,
            scopes: &[],
        },
    ]
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
    for party in parties() {
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

// === Forms of keys ===

/// A P-256 pair with a leading zero octet in a coordinate. One pair in 128 has it.
fn with_a_zero() -> (Pair, [Vec<u8>; 2]) {
    loop {
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        );
        let pair = Pair::Ec("P-256", pair.unwrap());
        let point = ["x", "y"].map(|name| decode(pair.jwk()[name].as_str().unwrap()));
        if point.iter().any(|coordinate| coordinate[0] == 0) {
            return (pair, point);
        }
    }
}

#[tokio::test]
async fn every_common_form_of_a_key_is_the_same_key() {
    let (n, e) = (decode(&spelled("n")), decode(&spelled("e")));
    let standard = |octets: &[u8]| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(octets)
    };
    let (zero, point) = with_a_zero();
    let stripped = point.clone().map(|coordinate| {
        encode(&coordinate[coordinate.iter().take_while(|octet| **octet == 0).count()..])
    });
    let grown = point.map(|coordinate| encode([&[0], &coordinate[..]].concat()));
    let rows: [(&str, &str, &str, &Pair, Value); 13] = [
        ("a zero before n", "MicahParks/jwkset#23", "RS256", &RSA, json!({ "n": signed("n") })),
        ("a zero before e", "RFC 7518 section 6.3.1.1", "RS256", &RSA, json!({ "e": "AAEAAQ" })),
        (
            "n in four zeros more",
            "openidconnect-rs#53",
            "RS256",
            &RSA,
            json!({ "n": encode([&[0; 4], &n[..]].concat()) }),
        ),
        ("padding", "MicahParks/keyfunc#30", "RS256", &RSA, json!({ "n": padded(&spelled("n")) })),
        (
            "the standard alphabet",
            "Keats/jsonwebtoken#153",
            "RS256",
            &RSA,
            json!({ "n": standard(&n), "e": standard(&e) }),
        ),
        (
            "coordinates without leading zeros",
            "keycloak/keycloak#14933, jwt/ruby-jwt#585",
            "ES256",
            &zero,
            json!({ "x": stripped[0], "y": stripped[1] }),
        ),
        (
            "coordinates with a sign octet",
            "eudi-srv-web-issuing-eudiw-py#106",
            "ES256",
            &zero,
            json!({ "x": grown[0], "y": grown[1] }),
        ),
        ("x5t with padding", "square/go-jose#373", "RS256", &RSA, json!({ "x5t": "wCAFGc-Zw=" })),
        (
            "x5c that is no certificate",
            "MicahParks/jwkset#55",
            "RS256",
            &RSA,
            json!({ "x5c": ["LS0"] }),
        ),
        ("x5c that is no array", "RFC 7517 section 4", "RS256", &RSA, json!({ "x5c": "LS0" })),
        (
            "key_ops as a string",
            "JanssenProject/jans#3777",
            "RS256",
            &RSA,
            json!({ "key_ops": "verify" }),
        ),
        (
            "null for what is not there",
            "Abblix/Oidc.Server#263",
            "EdDSA",
            &ED25519,
            json!({ "alg": null, "use": null, "key_ops": null, "d": null, "x5t": null }),
        ),
        ("what no RFC has", "RFC 7517 section 4", "RS256", &RSA, json!({ "acr": [], "exp": 7 })),
    ];
    for (name, source, algorithm, pair, members) in rows {
        let mut jwk = pair.jwk_with(json!({ "kid": "k" }));
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let row = format!("{name} ({source})");
        let keys = Keys::from_jwks(set(&[jwk])).unwrap_or_else(|error| panic!("{row}: {error}"));
        let plain = Keys::from_jwks(set(&[pair.jwk_with(json!({ "kid": "k" }))])).unwrap();
        assert_eq!(keys, plain, "{row}");
        let layer = AuthLayer::new(jwt_of(keys));
        let header = json!({ "alg": algorithm, "kid": "k" });
        let outcome = try_token(&layer, &pair.token(&header, &claims(json!({})))).await;
        assert!(outcome.passed(), "{row}: {outcome:?}");
    }
}

#[tokio::test]
async fn unsupported_keys_do_not_affect_the_others() {
    let rows: [(&str, Value); 14] = [
        ("Ed448", json!({ "kty": "OKP", "crv": "Ed448", "x": encode([1; 57]), "alg": "EdDSA" })),
        ("X25519", json!({ "kty": "OKP", "crv": "X25519", "x": encode([1; 32]) })),
        ("X448", json!({ "kty": "OKP", "crv": "X448", "x": encode([1; 56]) })),
        (
            "secp256k1",
            json!({ "kty": "EC", "crv": "secp256k1", "x": encode([1; 32]), "y": encode([1; 32]) }),
        ),
        (
            "P-521",
            json!({ "kty": "EC", "crv": "P-521", "x": encode([1; 66]), "y": encode([1; 66]) }),
        ),
        ("ML-DSA", json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": encode([1; 1_952]) })),
        ("oct", json!({ "kty": "oct", "k": encode("secret"), "alg": "HS256" })),
        ("RSA-OAEP", RSA_OTHER.jwk_with(json!({ "alg": "RSA-OAEP", "use": "enc" }))),
        ("RSA1_5", RSA_OTHER.jwk_with(json!({ "alg": "RSA1_5" }))),
        ("ECDH-ES", P384.jwk_with(json!({ "alg": "ECDH-ES+A256KW" }))),
        ("RS1", RSA_OTHER.jwk_with(json!({ "alg": "RS1" }))),
        ("none", RSA_OTHER.jwk_with(json!({ "alg": "none" }))),
        ("a weak key", json!({ "kty": "RSA", "n": encode([0xff; 128]), "e": "AQAB" })),
        ("no kty", json!({ "n": spelled("n"), "e": "AQAB" })),
    ];
    let ours = RSA.jwk_with(json!({ "kid": "k" }));
    for (name, theirs) in rows {
        // The other key has the same `kid` and comes first.
        let theirs = merge(theirs, json!({ "kid": "k" }));
        let alone = Keys::from_jwks(set(std::slice::from_ref(&theirs)));
        assert_eq!(alone.unwrap_err(), KeysError::NoUsableKey, "{name}");
        let keys = Keys::from_jwks(set(&[theirs, ours.clone()])).unwrap();
        let layer = AuthLayer::new(jwt_of(keys));
        let header = json!({ "alg": "RS256", "kid": "k" });
        let outcome = try_token(&layer, &RSA.token(&header, &claims(json!({})))).await;
        assert!(outcome.passed(), "{name}");
    }
}

#[tokio::test]
async fn repeated_key_does_not_displace_another() {
    let (one, other) =
        (RSA_OTHER.jwk_with(json!({ "kid": "k" })), RSA.jwk_with(json!({ "kid": "k" })));
    let keys = Keys::from_jwks(set(&[one.clone(), one.clone(), one, other])).unwrap();
    let layer = AuthLayer::new(jwt_of(keys));
    let header = json!({ "alg": "RS256", "kid": "k" });
    assert!(try_token(&layer, &RSA.token(&header, &claims(json!({})))).await.passed());
}

// === Responses with a key set ===

/// Fetches this body with this content type.
async fn fetched(content_type: Option<&'static str>, body: Vec<u8>) -> Result<(), KeysError> {
    let client = service_fn(move |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::new(Bytes::from(body.clone())));
        if let Some(kind) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        async { Ok::<_, Infallible>(response) }
    });
    RemoteKeys::jwks(JWKS_URI, client).build().unwrap().refresh().await
}

#[tokio::test]
async fn content_type_of_a_key_set_is_ignored() {
    let jwks = super::issuer::jwks();
    for kind in [
        None,
        Some("application/json"),
        Some("application/jwk-set+json"),
        Some("application/json;charset=UTF8"),
        Some("text/html; charset=utf-8"),
        Some("text/plain"),
        Some("application/octet-stream"),
    ] {
        for (before, after) in [("", ""), ("\u{feff}", ""), ("", "\n"), ("\u{feff}\r\n ", "\r\n\t")]
        {
            let body = format!("{before}{jwks}{after}").into_bytes();
            assert_eq!(fetched(kind, body).await, Ok(()), "{kind:?} {before:?} {after:?}");
        }
    }
    // A web page. An array of keys. One key. A map of certificates as at Google's older address. Two
    // byte-order marks. UTF-16. Unrequested gzip.
    let utf16: Vec<u8> = jwks.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [
        b"<!doctype html><title>Sign in</title>".to_vec(),
        json!([RSA.jwk()]).to_string().into_bytes(),
        RSA.jwk().to_string().into_bytes(),
        br#"{"6719678351a5": "-----BEGIN CERTIFICATE-----"}"#.to_vec(),
        format!("\u{feff}\u{feff}{jwks}").into_bytes(),
        utf16,
        b"\x1f\x8b\x08\0\0\0\0\0".to_vec(),
    ] {
        assert_eq!(fetched(Some("application/json"), body).await, Err(KeysError::Malformed));
    }
}

#[tokio::test]
async fn discovery_document_may_begin_with_a_byte_order_mark() {
    let provider = super::fake_provider::FakeProvider::new();
    let document = format!("\u{feff}{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"{JWKS_URI}\"}}\n");
    provider.document(&document);
    let source = RemoteKeys::discovery(ISSUER, provider.client()).build().unwrap();
    assert_eq!(source.refresh().await, Ok(()));
}

// === Claims ===

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
        let forged = try_token(&layer, &with(claim, value, &super::issuer::ED25519_OTHER)).await;
        let usual = try_token(&layer, &with("sub", "\"a\"", &super::issuer::ED25519_OTHER)).await;
        assert_eq!(forged.visible(), usual.visible(), "{row}");
    }
    assert!(try_token(&layer, &token("EdDSA", json!({}))).await.passed());
}
