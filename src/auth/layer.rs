use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    authentication::Authentication, credential::Credential, error::AuthError,
    failure::is_challenge_byte, service::Auth, token::AuthCounts,
};
use crate::{
    identity::{Identity, Proof},
    rejection::RejectionFormat,
    skip::Skip,
};

/// A layer that rejects requests without a valid credential.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AuthLayer {
    authentication: Arc<Authentication>,
    format: RejectionFormat,
    extension: bool,
}

impl AuthLayer {
    /// Accepts a kind of credential, such as the tokens that meet the requirements of a
    /// [`Jwt`](super::Jwt).
    ///
    /// Clones of the layer and their services share what is known of verified credentials.
    #[must_use]
    pub fn new(credential: impl Into<Credential>) -> Self {
        let mut authentication = Authentication::default();
        authentication.add(credential.into());
        Self {
            authentication: Arc::new(authentication),
            format: RejectionFormat::default(),
            extension: false,
        }
    }

    /// Accepts another kind of credential or another issuer.
    ///
    /// A request needs one credential. The first kind that recognises it by its place and form decides
    /// on it. A request with credentials at two places, such as `authorization` and `x-api-key`, is
    /// rejected with `invalid-request`.
    #[must_use]
    pub fn or(mut self, credential: impl Into<Credential>) -> Self {
        Arc::make_mut(&mut self.authentication).add(credential.into());
        self
    }

    /// Lets requests without a credential pass with an identity of this name. By default they are
    /// rejected.
    ///
    /// The identity has [`Proof::Anonymous`]. All anonymous callers are one principal: they share limits
    /// and cache entries. A request with an invalid credential is rejected.
    #[must_use]
    pub fn anonymous(mut self, name: impl Into<Box<str>>) -> Self {
        let identity = Identity::new(Proof::Anonymous, "anonymous", name);
        Arc::make_mut(&mut self.authentication).anonymous = Some(Arc::new(identity));
        self
    }

    /// Sets the `realm` of the challenges. Defaults to none.
    ///
    /// # Errors
    ///
    /// Returns [`AuthError::InvalidRealm`] if the realm has a character other than printable ASCII.
    /// Quotes and backslashes are excluded too.
    pub fn realm(mut self, realm: impl Into<Box<str>>) -> Result<Self, AuthError> {
        let realm = realm.into();
        if !realm.bytes().all(is_challenge_byte) {
            return Err(AuthError::InvalidRealm);
        }
        Arc::make_mut(&mut self.authentication).challenge.realm = Some(realm);
        Ok(self)
    }

    /// Returns the time since the keys were last fetched. See [`KeySource::age`](super::KeySource::age).
    /// Of several issuers the greatest.
    #[must_use]
    pub fn keys_age(&self) -> Option<Duration> {
        self.authentication.tokens().filter_map(|tokens| tokens.keys_age()).max()
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
        let counts = self.authentication.tokens().map(|tokens| tokens.counts());
        counts.fold(AuthCounts::default(), AuthCounts::plus)
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
        let authentication = Some(Arc::clone(&self.authentication));
        Auth::from_parts(inner, authentication, self.format, self.extension)
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
            .field("credentials", &self.authentication)
            .field("rejections", &self.format)
            .finish()
    }
}
