use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    service::Auth,
    token::{AuthCounts, Jwt, TokenVerifier},
};
use crate::{rejection::RejectionFormat, skip::Skip};

/// A layer that rejects requests without a valid bearer token.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AuthLayer {
    verifier: Arc<TokenVerifier>,
    format: RejectionFormat,
}

impl AuthLayer {
    /// Accepts tokens that meet the requirements of `jwt`.
    ///
    /// Clones of the layer and their services share one cache of verified tokens.
    #[must_use]
    pub fn new(jwt: Jwt) -> Self {
        let verifier = Arc::new(TokenVerifier::new(jwt));
        Self { verifier, format: RejectionFormat::default() }
    }

    /// Returns the time since the keys were last fetched. See [`KeySource::age`](super::KeySource::age).
    #[must_use]
    pub fn keys_age(&self) -> Option<Duration> {
        self.verifier.keys_age()
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    ///
    /// ```
    /// # use tower_inference::auth::{AuthLayer, Jwt, KeySource};
    /// use tower_inference::rejection::RejectionFormat;
    /// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
    /// # let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example");
    ///
    /// let layer = AuthLayer::new(jwt).rejections(RejectionFormat::ApiGateway);
    /// ```
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.format = format;
        self
    }

    /// Returns the counts of requests that were rejected for a reason that may be a wrong setting.
    ///
    /// A count that grows while no request passes shows a wrong issuer, audience or set of keys.
    #[must_use]
    pub fn counts(&self) -> AuthCounts {
        self.verifier.counts()
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth::from_parts(inner, Some(Arc::clone(&self.verifier)), self.format)
    }
}

impl<S> Skip<S> for AuthLayer {
    fn skip(inner: S) -> Auth<S> {
        Auth::from_parts(inner, None, RejectionFormat::Problem)
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("jwt", self.verifier.jwt())
            .field("rejections", &self.format)
            .finish()
    }
}
