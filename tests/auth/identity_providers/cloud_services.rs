//! Identity providers that run as a service.

use super::*;

pub(super) fn parties() -> Vec<Party> {
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
            more: |jwt| jwt.claims(ClaimMapping::new().tenant("tid")),
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
