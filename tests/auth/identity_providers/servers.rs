//! Identity providers that operators host themselves.

use super::*;

pub(super) fn parties() -> Vec<Party> {
    let rs256 = |kid: &str| json!({ "alg": "RS256", "typ": "JWT", "kid": kid });
    vec![
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
    ]
}
