use std::fmt;

/// An identity provider whose tokens have claims of their own.
///
/// [`Jwt::provider`](crate::auth::Jwt::provider) takes it. Each provider also has a name, so that a
/// program can read it from its settings.
///
/// ```
/// use tower_inference::auth::{Jwt, JwtError, KeySource, Provider};
///
/// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
/// let issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example";
/// let jwt = Jwt::new(keys.clone(), issuer, "57cbishk4j24pabc1234567890")
///     .provider("cognito".parse::<Provider>()?)?;
/// # drop(jwt);
///
/// // Anyone can become a member of some tenant, so each tenant is named.
/// let common = "https://login.microsoftonline.com/common/v2.0";
/// let error = Jwt::new(keys, common, "api://gateway").provider(Provider::Entra).unwrap_err();
/// assert!(matches!(error, JwtError::UnexpectedIssuer { .. }));
/// # Ok::<(), JwtError>(())
/// ```
///
/// | provider | audience | also required | client | tenant | roles | groups |
/// |---|---|---|---|---|---|---|
/// | `Oidc` | `aud` | | `client_id`, `azp` | | | |
/// | `Okta` | `aud` | | `cid` | | | `groups` |
/// | `Cognito` | `aud`, else `client_id` | `token_use` is `access` | `client_id` | | | `cognito:groups` |
/// | `CognitoIdToken` | `aud` | `token_use` is `id` | `aud` | | | `cognito:groups` |
/// | `Entra` | `aud` | `tid` is the issuer's, `azp` or `appid` | `azp`, `appid` | `tid` | `roles` | `groups` |
/// | `Auth0` | `aud` | | `azp`, `client_id` | | `permissions` | |
/// | `Keycloak` | `aud` | `typ` is `Bearer`, `DPoP` or absent | `azp`, `client_id` | | `realm_access.roles`, `resource_access.AUDIENCE.roles` | `groups` |
/// | `Google` | `aud` | | `azp` | | | |
/// | `GitHubActions` | `aud` | `repository_owner` | | `repository_owner` | | |
/// | `Kubernetes` | `aud` | `sub` is a service account of the namespace | | `kubernetes.io` `namespace` | | |
/// | `AwsIam` | `aud` | `aws_account` | | `https://sts.amazonaws.com/` `aws_account` | | |
///
/// A [`ClaimMapping`](crate::auth::ClaimMapping) of yours replaces the columns that it has places for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Provider {
    /// Any OpenID Connect provider. Nothing is added.
    Oidc,
    /// Okta, with a custom authorization server.
    ///
    /// The issuer looks like `https://dev-1.okta.com/oauth2/default`. Tokens of the org authorization
    /// server are for Okta itself and cannot be verified.
    Okta,
    /// Access tokens of Amazon Cognito user pools. Identity tokens are rejected.
    ///
    /// The audience is the id of the app client, because these tokens have no `aud`. If a resource
    /// server has set `aud`, it counts alone.
    Cognito,
    /// Identity tokens of Amazon Cognito user pools. Access tokens are rejected.
    CognitoIdToken,
    /// Access tokens of one tenant of Microsoft Entra ID. Identity tokens are rejected.
    ///
    /// The issuer has the tenant's id: `https://login.microsoftonline.com/TENANT/v2.0` or
    /// `https://sts.windows.net/TENANT/`. Tokens of both versions are accepted. Each further tenant is
    /// another [`Jwt`](crate::auth::Jwt). A user of more than 200 groups has none here, because Entra ID
    /// leaves them out of the token: use roles then. The clouds of the US government
    /// (`login.microsoftonline.us`) and of China (`login.partner.microsoftonline.cn`) are accepted too.
    Entra,
    /// Auth0. The issuer ends with a slash. The permissions of a user are roles.
    Auth0,
    /// Access tokens of Keycloak. Identity and refresh tokens are rejected.
    ///
    /// The roles are those of the realm and those of the client that the first audience names. For
    /// tokens without `sub` see [`ClaimMapping::subject`](crate::auth::ClaimMapping::subject).
    Keycloak,
    /// Identity tokens of Google, under both names of the issuer.
    ///
    /// The tenant of Google Workspace is `ClaimMapping::new().tenant("hd")`. Any service account of Google
    /// Cloud can get a token for any audience, so check the subject or the tenant in each rule.
    Google,
    /// GitHub Actions. The tenant is the owner of the repository.
    ///
    /// The subject looks like `repo:octo-org/octo-repo:environment:prod`. Anyone on GitHub can get a
    /// token for any audience, so check the subject or the tenant in each rule. An owner may give up a
    /// name that another one then takes. `ClaimMapping::new().tenant("repository_owner_id")` stays.
    GitHubActions,
    /// Service accounts of one Kubernetes cluster. The tenant is the namespace.
    ///
    /// The subject is `system:serviceaccount:NAMESPACE:NAME`. Only projected tokens are accepted. The
    /// tokens in secrets never expire.
    Kubernetes,
    /// Outbound identity federation of AWS IAM (`sts:GetWebIdentityToken`). The tenant is the account.
    ///
    /// The issuer looks like `https://ID.tokens.sts.global.api.aws` and belongs to one account. The
    /// subject is the ARN of the role.
    AwsIam,
}

impl Provider {
    /// Every provider.
    pub const ALL: &'static [Self] = &[
        Self::Oidc,
        Self::Okta,
        Self::Cognito,
        Self::CognitoIdToken,
        Self::Entra,
        Self::Auth0,
        Self::Keycloak,
        Self::Google,
        Self::GitHubActions,
        Self::Kubernetes,
        Self::AwsIam,
    ];

    /// Returns the name, such as `github-actions`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Okta => "okta",
            Self::Cognito => "cognito",
            Self::CognitoIdToken => "cognito-id-token",
            Self::Entra => "entra",
            Self::Auth0 => "auth0",
            Self::Keycloak => "keycloak",
            Self::Google => "google",
            Self::GitHubActions => "github-actions",
            Self::Kubernetes => "kubernetes",
            Self::AwsIam => "aws-iam",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
