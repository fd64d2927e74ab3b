use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, Uri};
use tower_layer::Layer;

use super::{
    access::AccessRules,
    authentication::Authentication,
    credential::Credential,
    error::AuthError,
    failure::is_challenge_byte,
    keys::KeySource,
    resource_metadata::ResourceMetadata,
    service::Auth,
    token::{AuthCounts, TokenVerifier},
};
use crate::{
    identity::{Callers, Fact, Identity, Proof},
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
    /// and cache entries. A request with an invalid credential is rejected. One that the
    /// [rules](Self::rules) deny is rejected with `missing-credentials`, because a credential may help.
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

    /// Allows callers to use routes by rules. By default each valid credential may use all.
    ///
    /// Call it after [`or`](Self::or). A denied request is rejected with `insufficient-scope` if a rule
    /// would allow it with more scopes, else with `forbidden`. The rules see the identity with all its
    /// claims. Methods and paths are those of the request as this layer receives it. See
    /// [`original_uri`](Self::original_uri).
    ///
    /// # Errors
    ///
    /// Returns [`AuthError::UnknownFact`] if a rule asks for a tenant, client, role, group or plan that no
    /// credential of this layer has.
    pub fn rules(mut self, rules: AccessRules) -> Result<Self, AuthError> {
        for rule in rules.rules() {
            self.check(&rule.callers)
                .map_err(|fact| AuthError::UnknownFact { rule: rule.name.clone(), fact })?;
        }
        Arc::make_mut(&mut self.authentication).rules = Some(rules);
        Ok(self)
    }

    /// Returns the rules, for [`AccessRules::explain`] and [`AccessRules::unseen_claims`].
    #[must_use]
    pub fn access_rules(&self) -> Option<&AccessRules> {
        self.authentication.rules.as_ref()
    }

    /// Checks the conditions of another layer, such as those of `ModelRules::callers`: a caller of this
    /// layer must be able to meet them.
    ///
    /// # Errors
    ///
    /// Returns [`AuthError::UnknownFact`] if a condition asks for a tenant, client, role, group or plan
    /// that no credential of this layer has.
    pub fn check_callers<'a>(
        &self,
        callers: impl IntoIterator<Item = &'a Callers>,
    ) -> Result<(), AuthError> {
        callers.into_iter().try_for_each(|callers| {
            let unknown = |fact| AuthError::UnknownFact { rule: Box::default(), fact };
            self.check(callers).map_err(unknown)
        })
    }

    /// Returns the name of the first fact that no credential has.
    fn check(&self, callers: &Callers) -> Result<(), &'static str> {
        let known = self.authentication.facts();
        callers.facts().try_for_each(|fact| {
            let (known, name) = match fact {
                Fact::Tenant => (known.tenant, "tenant"),
                Fact::Client => (known.client, "client"),
                Fact::Roles => (known.roles, "role"),
                Fact::Groups => (known.groups, "group"),
                Fact::Plan => (known.plan, "plan"),
            };
            if known { Ok(()) } else { Err(name) }
        })
    }

    /// Sets where the URI is that the client sent. Defaults to the URI of the request.
    ///
    /// A router may have removed a prefix from it. The rules and the proofs of DPoP then need the
    /// original. A signature of AWS is judged by the URI that
    /// [`SignedBodyLayer`](super::aws_iam::SignedBodyLayer) has received, so that layer belongs outside of
    /// the router. With
    /// `Router::nest` of axum give
    /// `|extensions| extensions.get::<OriginalUri>().map(|original| &original.0)`.
    #[must_use]
    pub fn original_uri(mut self, find: fn(&Extensions) -> Option<&Uri>) -> Self {
        Arc::make_mut(&mut self.authentication).original_uri = Some(find);
        self
    }

    /// Names the address of the metadata in each challenge (RFC 9728 section 5.1). Defaults to none.
    #[must_use]
    pub fn resource_metadata(mut self, metadata: &ResourceMetadata) -> Self {
        let url = metadata.url().into();
        Arc::make_mut(&mut self.authentication).challenge.resource_metadata = Some(url);
        self
    }

    /// Returns the time since the keys were last fetched. See [`KeySource::age`](super::KeySource::age).
    /// With several issuers it is the greatest age.
    #[must_use]
    pub fn keys_age(&self) -> Option<Duration> {
        self.authentication.tokens()?.keys_age()
    }

    /// Returns the sources of the keys, one for each issuer.
    pub(crate) fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        self.authentication.tokens().into_iter().flat_map(TokenVerifier::key_sources)
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
        self.authentication.tokens().map(TokenVerifier::counts).unwrap_or_default()
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
