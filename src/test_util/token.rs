use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use serde_json::{Map, Value};

use super::signing_key::SigningKey;

/// A token of a [`TestIssuer`](super::TestIssuer). `to_string` signs it.
///
/// ```
/// use std::time::Duration;
/// use tower_inference::test_util::TestIssuer;
///
/// let issuer = TestIssuer::new();
/// let valid = issuer.token("ann").scope("infer").claim("tenant", "acme").to_string();
/// let expired = issuer.token("ann").expired().to_string();
/// let elsewhere = issuer.token("ann").audience("another service").to_string();
/// # assert_ne!(valid, expired);
/// # assert_ne!(valid, elsewhere);
/// ```
#[derive(Clone)]
pub struct TestToken {
    key: Arc<SigningKey>,
    claims: Map<String, Value>,
    now: u64,
}

impl TestToken {
    pub(super) const fn new(key: Arc<SigningKey>, claims: Map<String, Value>, now: u64) -> Self {
        Self { key, claims, now }
    }

    /// Adds scopes, separated by spaces. A token has none by default.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        let scope = match self.claims.get("scope").and_then(Value::as_str) {
            Some(before) => format!("{before} {scope}"),
            None => scope.to_owned(),
        };
        self.claim("scope", scope)
    }

    /// Sets the claim `aud`. Defaults to the audience of the issuer.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    /// Sets the time until the token expires in whole seconds. Defaults to 1 hour.
    ///
    /// [`Jwt::leeway`](crate::auth::Jwt::leeway) adds to it.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        let at = self.now.saturating_add(time.as_secs());
        self.claim("exp", at)
    }

    /// Makes the token expired for one hour, beyond any leeway.
    #[must_use]
    pub fn expired(self) -> Self {
        let (now, hour) = (self.now, 3600);
        self.claim("iat", now.saturating_sub(2 * hour)).claim("exp", now.saturating_sub(hour))
    }

    /// Sets a claim and replaces an earlier value. `null` removes the claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => drop(self.claims.remove(name)),
            value => drop(self.claims.insert(name.to_owned(), value)),
        }
        self
    }

    /// Returns the value of an `authorization` header: `Bearer` and the token.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {self}")
    }
}

/// Signs the token.
impl fmt::Display for TestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.sign(&self.claims))
    }
}

/// The value of an `authorization` header.
impl TryFrom<TestToken> for HeaderValue {
    type Error = http::header::InvalidHeaderValue;

    fn try_from(token: TestToken) -> Result<Self, Self::Error> {
        let mut value = Self::try_from(token.bearer())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for TestToken {
    // Without the claims and the signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").finish_non_exhaustive()
    }
}
