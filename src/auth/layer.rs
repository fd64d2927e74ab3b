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
    extension: bool,
}

impl AuthLayer {
    /// Accepts tokens that meet the requirements of `jwt`.
    ///
    /// Clones of the layer and their services share one cache of verified tokens.
    #[must_use]
    pub fn new(jwt: Jwt) -> Self {
        let verifier = Arc::new(TokenVerifier::new(jwt));
        Self { verifier, format: RejectionFormat::default(), extension: false }
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

impl AuthLayer {
    /// Also puts the identity into the extensions of the request, as `Arc<Identity>`.
    ///
    /// Handlers of axum take it as `Extension<Arc<Identity>>`. By default the identity is in the
    /// [`RequestContext`](crate::context::RequestContext) only. It replaces an `Arc<Identity>` that
    /// anything outside of this layer has put there.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use std::{convert::Infallible, sync::Arc};
    /// use tower::{Layer, service_fn};
    /// use tower_inference::{auth::AuthLayer, identity::Identity};
    /// # let keys = tower_inference::auth::KeySource::file("tests/data/jwks.json").unwrap();
    /// # let jwt = tower_inference::auth::Jwt::new(keys, "https://issuer.example", "gateway");
    ///
    /// let layer = AuthLayer::new(jwt).identity_extension();
    /// let service = layer.layer(service_fn(|request: Request<()>| async move {
    ///     let caller = request.extensions().get::<Arc<Identity>>();
    ///     Ok::<_, Infallible>(Response::new(caller.map(|caller| caller.subject().to_owned())))
    /// }));
    /// # drop(service);
    /// ```
    #[must_use]
    pub const fn identity_extension(mut self) -> Self {
        self.extension = true;
        self
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        let verifier = Some(Arc::clone(&self.verifier));
        Auth::from_parts(inner, verifier, self.format, self.extension)
    }
}

impl<S> Skip<S> for AuthLayer {
    fn skip(inner: S) -> Auth<S> {
        Auth::from_parts(inner, None, RejectionFormat::Problem, false)
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
