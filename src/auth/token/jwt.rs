use std::{fmt, sync::Arc, time::Duration};

use super::{
    claims::{ClaimCheck, ClaimMapping},
    confirmation::Dpop,
    jwt_error::JwtError,
    presets::Preset,
    provider::Provider,
    token_types::TokenTypes,
};
use crate::{
    auth::{algorithm::Algorithm, keys::KeySource},
    clock::SharedClock,
    identity::Identity,
};

/// RFC 7519 section 4.1.4 allows a leeway of "a few minutes".
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The requirements for a JSON Web Token of one issuer.
///
/// ```
/// use tower_inference::auth::{Algorithm, ClaimMapping, Jwt, JwtError, KeySource};
///
/// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
/// let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example")
///     .additional_audiences(["https://old-name.example"])
///     .algorithms([Algorithm::Es256, Algorithm::EdDsa])
///     .claims(ClaimMapping::new().tenant("org"))
///     .required_scopes(["infer", "models:read"])?;
///
/// let misspelled = jwt.required_scopes(["infer models:read"]);
/// assert_eq!(misspelled.unwrap_err(), JwtError::InvalidScope("infer models:read".into()));
/// # Ok::<(), JwtError>(())
/// ```
///
/// The checks run in a fixed order. The syntax, the algorithm and the signature come first. Then
/// come `typ`, `iss`, `aud`, `exp`, `nbf` and `iat`. Then come the claims of the identity and of the
/// [provider](Self::provider) and the scopes. The revocation and the proof of possession come last, for
/// cached tokens too. Every token needs `exp` and a subject.
///
/// # Several issuers
///
/// A layer accepts the tokens of several issuers: `AuthLayer::new(jwt).or(jwt)`. Each has settings of
/// its own. The `iss` of a token selects the settings and the keys before the signature is verified, and
/// nothing else. A token whose `iss` belongs to no issuer is rejected like one with an invalid signature
/// and causes no fetch. If two issuers have the same name then the first one decides.
///
/// The issuers of a layer share one cache of verified tokens. Each
/// [`AuthLayer::new`](crate::auth::AuthLayer::new) has its own cache even if the `Jwt` is a clone.
///
#[doc = include_str!("jwt.md")]
#[derive(Clone)]
pub struct Jwt {
    pub(super) keys: KeySource,
    pub(super) clock: SharedClock,
    /// The name in identities.
    pub(super) issuer: Box<str>,
    issuer_aliases: Vec<Box<str>>,
    audiences: Vec<Box<str>>,
    any_audience: bool,
    client_id_as_audience: bool,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) token_types: TokenTypes,
    pub(super) strict_access_tokens: bool,
    pub(super) leeway: Duration,
    pub(super) required_scopes: Vec<Box<str>>,
    pub(super) future_iat: bool,
    claims: ClaimMapping,
    preset: Preset,
    pub(super) revocation: Option<RevocationHook>,
    pub(super) dpop: Option<Dpop>,
    pub(super) max_cache_bytes: u64,
    pub(super) max_token_bytes: usize,
}

/// Returns whether a token is revoked.
type RevocationHook = Arc<dyn Fn(&Identity) -> bool + Send + Sync>;

impl Jwt {
    /// Accepts tokens of `issuer` for `audience` that one of `keys` has signed.
    ///
    /// Issuer and audience are compared byte for byte.
    pub fn new(
        keys: impl Into<KeySource>,
        issuer: impl Into<Box<str>>,
        audience: impl Into<Box<str>>,
    ) -> Self {
        let keys = keys.into();
        Self {
            clock: keys.shared_clock().clone(),
            keys,
            issuer: issuer.into(),
            issuer_aliases: Vec::new(),
            audiences: vec![audience.into()],
            any_audience: false,
            client_id_as_audience: false,
            algorithms: Algorithm::ALL.to_vec(),
            token_types: TokenTypes {
                accepted: vec!["JWT".into(), "at+jwt".into()],
                required: false,
            },
            strict_access_tokens: false,
            leeway: Duration::from_secs(30),
            required_scopes: Vec::new(),
            future_iat: false,
            claims: ClaimMapping::new(),
            preset: Preset::default(),
            revocation: None,
            dpop: None,
            max_cache_bytes: 8 << 20,
            max_token_bytes: 16 << 10,
        }
    }

    /// Adapts the settings to an identity provider. See [`Provider`] for what each one changes.
    ///
    /// Defaults to [`Provider::Oidc`]. The order of this and of the other settings makes no difference.
    ///
    /// # Errors
    ///
    /// Returns [`JwtError::UnexpectedIssuer`] if the issuer cannot be one of the provider: for Entra ID,
    /// Auth0, Google and others whose issuers have a form of their own.
    pub fn provider(mut self, provider: Provider) -> Result<Self, JwtError> {
        let audience = self.audiences.first().map_or("", |audience| audience);
        self.preset = provider.preset(&self.issuer, audience)?;
        Ok(self)
    }

    /// Accepts these other names of the issuer. They have the same keys.
    ///
    /// Some issuers write their name in two ways. The issuer of the identity is always the name that was
    /// given to [`new`](Self::new), so that a caller is one principal.
    #[must_use]
    pub fn issuer_aliases<I: Into<Box<str>>>(
        mut self,
        aliases: impl IntoIterator<Item = I>,
    ) -> Self {
        self.issuer_aliases.extend(aliases.into_iter().map(Into::into));
        self
    }

    /// Accepts tokens for these audiences too.
    ///
    /// Has no effect after [`dangerous_any_audience`](Self::dangerous_any_audience).
    #[must_use]
    pub fn additional_audiences<A: Into<Box<str>>>(
        mut self,
        audiences: impl IntoIterator<Item = A>,
    ) -> Self {
        self.audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// Accepts tokens for any audience.
    ///
    /// A token that the issuer made for another service is then valid here. Every service that
    /// receives such a token can use it here.
    #[must_use]
    pub const fn dangerous_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Reads the audience from `client_id` if a token has no `aud`. Access tokens of Amazon Cognito
    /// need this.
    ///
    /// A token with a `token_use` must then say `access`.
    #[must_use]
    pub const fn client_id_as_audience(mut self) -> Self {
        self.client_id_as_audience = true;
        self
    }

    /// Sets the accepted algorithms (RFC 8725 section 3.1). Defaults to every [`Algorithm`].
    ///
    /// An empty list rejects every token.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets the accepted values of the `typ` header and requires one. By default `typ` is `JWT`,
    /// `at+jwt` or absent.
    ///
    /// Case and a leading `application/` make no difference (RFC 7515 section 4.1.9). An empty list
    /// rejects every token.
    #[must_use]
    pub fn token_types<T: Into<Box<str>>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let accepted = types.into_iter().map(Into::into).collect();
        self.token_types = TokenTypes { accepted, required: true };
        self
    }

    /// Accepts only access tokens of RFC 9068.
    ///
    /// Their `typ` is `at+jwt`. They must have `client_id`, `iat`, `jti` and `aud`. Auth0 and
    /// Keycloak can be configured to issue them. Entra ID and Cognito do not issue them.
    #[must_use]
    pub fn strict_access_tokens(mut self) -> Self {
        self.strict_access_tokens = true;
        self.token_types(["at+jwt"])
    }

    /// Sets the tolerated difference between clocks for `exp`, `nbf` and `iat`. Defaults to 30
    /// seconds.
    ///
    /// The maximum is 5 minutes. A host without time synchronization drifts by 30 seconds in weeks.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Accepts tokens whose `iat` is in the future.
    ///
    /// By default such a token is rejected if `iat` is ahead by more than the [leeway](Self::leeway). RFC
    /// 7519 section 4.1.6 gives `iat` no such meaning: it tells the age of a token. `nbf` says when a
    /// token becomes valid and is always checked. Use this for an issuer whose clock is ahead.
    #[must_use]
    pub const fn future_iat(mut self) -> Self {
        self.future_iat = true;
        self
    }

    /// Sets the scopes that every token must have. Defaults to none.
    ///
    /// Scopes are in `scope` or in `scp`. Both may be a string or an array. Entra ID and Okta use
    /// `scp`. A required scope also tells access tokens from identity tokens if `typ` does not.
    ///
    /// # Errors
    ///
    /// Returns [`JwtError::InvalidScope`] if a scope is empty or has a character that RFC 6749
    /// section 3.3 excludes. No token could have such a scope.
    pub fn required_scopes<T: Into<Box<str>>>(
        mut self,
        scopes: impl IntoIterator<Item = T>,
    ) -> Result<Self, JwtError> {
        self.required_scopes = scopes.into_iter().map(Into::into).collect();
        let is_valid = |scope: &str| !scope.is_empty() && scope.bytes().all(is_scope_byte);
        match self.required_scopes.iter().find(|scope| !is_valid(scope)) {
            None => Ok(self),
            Some(scope) => Err(JwtError::InvalidScope(scope.clone())),
        }
    }

    /// Sets the claims that become the parts of the identity.
    ///
    /// Defaults to those of the [provider](Self::provider). A mapping replaces each part that it has a
    /// place for. A second mapping replaces the first.
    #[must_use]
    pub fn claims(mut self, mapping: ClaimMapping) -> Self {
        self.claims = mapping;
        self
    }

    /// Rejects a token if the function returns true. Defaults to none.
    ///
    /// The function runs in each request with a valid token, cached or not. It must not block: look into
    /// a set in memory that you keep up to date. The identity has the subject. Its
    /// [claims](Identity::claim) have the token's id (`jti`) and its session (`sid`).
    ///
    /// ```
    /// # use std::{collections::HashSet, sync::{Arc, RwLock}};
    /// # use tower_inference::auth::{Jwt, KeySource};
    /// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
    /// # let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example");
    /// let revoked = Arc::new(RwLock::new(HashSet::from(["a-stolen-token".to_owned()])));
    /// let jwt = jwt.revocation(move |identity| {
    ///     let id = identity.claim("jti").and_then(|id| id.as_str());
    ///     id.is_some_and(|id| revoked.read().unwrap().contains(id))
    /// });
    /// # drop(jwt);
    /// ```
    #[must_use]
    pub fn revocation(
        mut self,
        is_revoked: impl Fn(&Identity) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.revocation = Some(Arc::new(is_revoked));
        self
    }

    /// Accepts tokens that are bound to a key by DPoP. By default they are rejected.
    ///
    /// A token without `cnf` is accepted as a bearer token as before. Configure the issuer to bind each
    /// token that it issues to the clients of this service.
    ///
    /// A token that is bound to a client certificate needs no setting. It is accepted if the request's
    /// extensions have the [`ClientCertificate`](crate::auth::ClientCertificate).
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// Sets the maximum memory for verified tokens in bytes. Defaults to 8 MiB.
    ///
    /// The default holds about 1,500 tokens. A cached token is not verified again. Zero disables
    /// the cache. The issuers of one layer share a cache of the sum.
    #[must_use]
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum length of a token in bytes. Defaults to 16 KiB.
    ///
    /// Longer tokens are rejected without being parsed.
    #[must_use]
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Sets the clock for the claims and for the age of the keys. Defaults to the clock of the
    /// keys.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.keys = self.keys.clock(clock.clone());
        self.clock = clock;
        self
    }
}

impl Jwt {
    /// Returns whether `issuer` is one of the names.
    pub(super) fn has_issuer(&self, issuer: &str) -> bool {
        let aliases = self.issuer_aliases.iter().chain(&self.preset.issuer_aliases);
        *self.issuer == *issuer || aliases.into_iter().any(|alias| **alias == *issuer)
    }

    /// Returns the accepted audiences. `None` accepts any.
    pub(super) fn audiences(&self) -> Option<&[Box<str>]> {
        (!self.any_audience).then_some(&self.audiences)
    }

    pub(super) const fn has_client_id_as_audience(&self) -> bool {
        self.client_id_as_audience || self.preset.client_id_as_audience
    }

    /// Returns the claims of the identity.
    pub(super) fn mapping(&self) -> ClaimMapping {
        self.claims.clone().or(&self.preset.claims)
    }

    /// Returns the conditions of the provider.
    pub(super) fn checks(&self) -> &[ClaimCheck] {
        &self.preset.checks
    }
}

/// Returns true for %x21, %x23-5B and %x5D-7E (RFC 6749 section 3.3). These bytes need no escape in
/// a challenge.
const fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences())
            .field("algorithms", &self.algorithms)
            .field("claims", &self.mapping())
            .field("required_scopes", &self.required_scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_with_an_illegal_character_are_rejected() {
        let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}]}"#;
        let jwt = Jwt::new(crate::auth::Keys::from_jwks(keys).unwrap(), "issuer", "audience");
        for scope in ["infer", "models:read", "!#[]~"] {
            assert!(jwt.clone().required_scopes([scope]).is_ok(), "{scope}");
        }
        for scope in ["", "a b", "a\"b", "a\\b", "a\tb", "é", "\r\n"] {
            let rejected = jwt.clone().required_scopes(["infer", scope]);
            assert_eq!(rejected.unwrap_err(), JwtError::InvalidScope(scope.into()), "{scope}");
        }
    }
}
