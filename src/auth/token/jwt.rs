use std::{error::Error, fmt, time::Duration};

use crate::{
    auth::{algorithm::Algorithm, keys::KeySource},
    clock::SharedClock,
    error_debug::debug_as_message,
};

/// RFC 7519 section 4.1.4 allows a leeway of "a few minutes".
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The requirements for a JSON Web Token of one issuer.
///
/// ```
/// use tower_inference::auth::{Algorithm, Jwt, JwtError, KeySource};
///
/// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
/// let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example")
///     .additional_audiences(["https://old-name.example"])
///     .algorithms([Algorithm::Es256, Algorithm::EdDsa])
///     .tenant_claim("org")
///     .required_scopes(["infer", "models:read"])?;
///
/// let misspelled = jwt.required_scopes(["infer models:read"]);
/// assert_eq!(misspelled.unwrap_err(), JwtError::InvalidScope("infer models:read".into()));
/// # Ok::<(), JwtError>(())
/// ```
///
/// The checks run in a fixed order. The syntax, the algorithm and the signature come first. Then
/// come `typ`, `iss`, `aud`, `exp`, `nbf`, `iat` and `sub`. The scopes and the tenant come last.
/// Every token needs `exp` and `sub`. Each [`AuthLayer::new`](crate::auth::AuthLayer::new) has its
/// own cache of verified tokens even if the `Jwt` is a clone.
#[derive(Clone)]
pub struct Jwt {
    pub(super) keys: KeySource,
    pub(super) clock: SharedClock,
    pub(super) issuer: Box<str>,
    /// `None` accepts any audience.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) client_id_as_audience: bool,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) token_types: TokenTypes,
    pub(super) strict_access_tokens: bool,
    pub(super) leeway: Duration,
    pub(super) required_scopes: Vec<Box<str>>,
    pub(super) tenant_claim: Option<Box<str>>,
    pub(super) max_cache_bytes: u64,
    pub(super) max_token_bytes: usize,
}

impl Jwt {
    /// Accepts tokens of `issuer` for `audience` that one of `keys` has signed.
    ///
    /// Issuer and audience are compared exactly.
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
            audiences: Some(vec![audience.into()]),
            client_id_as_audience: false,
            algorithms: Algorithm::ALL.to_vec(),
            token_types: TokenTypes {
                accepted: vec!["JWT".into(), "at+jwt".into()],
                required: false,
            },
            strict_access_tokens: false,
            leeway: Duration::from_secs(30),
            required_scopes: Vec::new(),
            tenant_claim: None,
            max_cache_bytes: 8 << 20,
            max_token_bytes: 16 << 10,
        }
    }

    /// Accepts tokens for these audiences too.
    ///
    /// Has no effect after [`dangerous_any_audience`](Self::dangerous_any_audience).
    #[must_use]
    pub fn additional_audiences<A: Into<Box<str>>>(
        mut self,
        audiences: impl IntoIterator<Item = A>,
    ) -> Self {
        if let Some(accepted) = &mut self.audiences {
            accepted.extend(audiences.into_iter().map(Into::into));
        }
        self
    }

    /// Accepts tokens for any audience.
    ///
    /// A token that the issuer made for another service is then valid here. Every service that
    /// receives such a token can use it here.
    #[must_use]
    pub fn dangerous_any_audience(mut self) -> Self {
        self.audiences = None;
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

    /// Sets the claim that names the tenant of the [identity](crate::identity::Identity::tenant).
    /// Defaults to none.
    ///
    /// A token without the claim has no tenant. A token is rejected if the claim is empty or not a
    /// string.
    #[must_use]
    pub fn tenant_claim(mut self, name: impl Into<Box<str>>) -> Self {
        self.tenant_claim = Some(name.into());
        self
    }

    /// Sets the maximum memory for verified tokens in bytes. Defaults to 8 MiB.
    ///
    /// The default holds about 1,500 tokens. A cached token is not verified again. Zero disables
    /// the cache.
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

/// Returns true for %x21, %x23-5B and %x5D-7E (RFC 6749 section 3.3). These bytes need no escape in
/// a challenge.
const fn is_scope_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// The reason that a setting of [`Jwt`] is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum JwtError {
    /// Returned when this required scope is not a scope token of RFC 6749 section 3.3.
    InvalidScope(Box<str>),
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidScope(scope) => write!(
                f,
                "the required scope {scope:?} is none: expected printable ASCII without space, \
                 quote and backslash; give several scopes as several items"
            ),
        }
    }
}

debug_as_message!(JwtError);

impl Error for JwtError {}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys)
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .field("required_scopes", &self.required_scopes)
            .finish_non_exhaustive()
    }
}

/// The accepted values of the `typ` header.
#[derive(Clone, Debug)]
pub(super) struct TokenTypes {
    accepted: Vec<Box<str>>,
    /// Rejects tokens without `typ`.
    required: bool,
}

impl TokenTypes {
    pub(super) fn accepts(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else {
            return !self.required;
        };
        self.accepted
            .iter()
            .any(|accepted| without_prefix(accepted).eq_ignore_ascii_case(without_prefix(kind)))
    }
}

/// Removes a leading `application/`. It is optional if the rest has no slash (RFC 7515 section
/// 4.1.9).
fn without_prefix(kind: &str) -> &str {
    match kind.split_at_checked(b"application/".len()) {
        Some((start, rest))
            if start.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
        {
            rest
        }
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_types_are_media_types() {
        let default = TokenTypes { accepted: vec!["JWT".into(), "at+jwt".into()], required: false };
        for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert!(default.accepts(Some(kind)), "{kind}");
        }
        for kind in
            ["", "application/", "logout+jwt", "dpop+jwt", "at+jwt;x=1", "text/at+jwt", "id_token"]
        {
            assert!(!default.accepts(Some(kind)), "{kind}");
        }
        assert!(default.accepts(None));
        assert!(!TokenTypes { accepted: vec!["x".into()], required: true }.accepts(None));
        assert!(!TokenTypes { accepted: vec![], required: true }.accepts(Some("JWT")));
    }

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
