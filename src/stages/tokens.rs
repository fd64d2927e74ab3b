use std::{any::Any, borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use http::Request;
use http_body_util::Empty;

use super::{
    origin::Origin,
    token::{Owner, TokenSource},
};
use crate::{
    context::RequestContext, model::Profile, payload::Payload, printable::Printable,
    secret::Scrubber,
};

/// The tokens of a stage: one for all requests, or one for each tenant or model.
///
/// A [`TokenSource`] converts into the tokens of a stage with one token. A stage whose teams each have a
/// token of their own chooses by the [tenant](Self::by_tenant) or by the [model](Self::by_model). No
/// token takes the place of another: a request without a token of its own is rejected with 403
/// `forbidden` unless `otherwise` names the source for it.
///
/// ```
/// use tower_inference::{hf::{Stage, TokenSource, Tokens}, secret::Secret};
///
/// # let (research, sales) = ("hf_research", "hf_sales");
/// let tokens = Tokens::by_tenant()
///     .tenant("https://idp.example", "research", TokenSource::value(Secret::new(research))?)
///     .tenant("https://idp.example", "sales", TokenSource::value(Secret::new(sales))?);
/// let stage = Stage::new("prod", "https://router.huggingface.co".parse()?, tokens);
/// # let _ = stage;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tokens(Kind);

#[derive(Clone, Debug)]
enum Kind {
    One(TokenSource),
    ByTenant(TenantTokens),
    ByModel(ModelTokens),
}

impl Tokens {
    /// Chooses the token by the caller's tenant. See [`TenantTokens::tenant`].
    ///
    /// A cache outside must not be wider than a tenant, as `Scope::Shared` is. It would give a tenant
    /// without a token, or without access to a model, what the token of another one has paid for.
    #[must_use]
    pub fn by_tenant() -> TenantTokens {
        TenantTokens::default()
    }

    /// Chooses the token by the model that goes to the upstream. See [`ModelTokens::model`].
    #[must_use]
    pub fn by_model() -> ModelTokens {
        ModelTokens::default()
    }

    pub(super) fn differ(&self) -> bool {
        !matches!(self.0, Kind::One(_))
    }

    /// Returns the source of the request's token. The request has its path below the prefix of `origin`.
    pub(super) fn source<B: 'static>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
        profile: &Profile,
        origin: &Origin,
    ) -> Result<&TokenSource, NoToken> {
        match &self.0 {
            Kind::One(source) => Ok(source),
            Kind::ByTenant(tokens) => tokens.source(context),
            Kind::ByModel(tokens) => tokens.source(request, profile, origin),
        }
    }

    pub(super) fn sources(&self) -> Vec<&TokenSource> {
        match &self.0 {
            Kind::One(source) => vec![source],
            Kind::ByTenant(tokens) => {
                let own = tokens.sources.values().flat_map(BTreeMap::values);
                own.chain(&tokens.otherwise).collect()
            }
            Kind::ByModel(tokens) => tokens.sources.values().chain(&tokens.otherwise).collect(),
        }
    }

    pub(super) fn set_owner(&self, owner: &Owner) {
        self.sources().into_iter().for_each(|source| source.set_owner(owner));
    }

    /// Returns a scrubber that follows all sources.
    pub(super) fn scrubber(&self) -> Scrubber {
        match &self.0 {
            Kind::One(source) => source.scrubber().clone(),
            _ => Scrubber::joined(self.sources().into_iter().map(TokenSource::scrubber)),
        }
    }
}

impl From<TokenSource> for Tokens {
    fn from(source: TokenSource) -> Self {
        Self(Kind::One(source))
    }
}

/// The tokens of a stage by tenant. [`Tokens::by_tenant`] makes it.
#[derive(Clone, Debug, Default)]
pub struct TenantTokens {
    // By issuer, then by tenant.
    sources: BTreeMap<Box<str>, BTreeMap<Box<str>, TokenSource>>,
    otherwise: Option<TokenSource>,
}

impl TenantTokens {
    /// Sets the token of a tenant. A later call for the same tenant replaces it.
    ///
    /// The tenant and the issuer are those of the caller's [`Identity`](crate::identity::Identity) and are
    /// compared byte for byte. Tenants of different issuers are different tenants. A caller with a JWT
    /// has a tenant only if `ClaimMapping::tenant` or the `Provider` names its claim.
    #[must_use]
    pub fn tenant(
        mut self,
        issuer: impl Into<Box<str>>,
        tenant: impl Into<Box<str>>,
        source: TokenSource,
    ) -> Self {
        let _replaced =
            self.sources.entry(issuer.into()).or_default().insert(tenant.into(), source);
        self
    }

    /// Sets the token of all other callers, also of those without a tenant or an identity.
    ///
    /// By default their requests are rejected.
    #[must_use]
    pub fn otherwise(mut self, source: TokenSource) -> Self {
        self.otherwise = Some(source);
        self
    }

    fn source(&self, context: &RequestContext) -> Result<&TokenSource, NoToken> {
        let identity = context.identity();
        let tenant = identity.as_ref().and_then(|identity| identity.tenant());
        let own = identity.as_ref().zip(tenant).and_then(|(identity, tenant)| {
            self.sources.get(identity.issuer()).and_then(|tenants| tenants.get(tenant))
        });
        own.or(self.otherwise.as_ref()).ok_or_else(|| match (&identity, tenant) {
            (Some(identity), Some(tenant)) => {
                NoToken::Tenant { issuer: identity.issuer().into(), tenant: tenant.into() }
            }
            _ => NoToken::NoTenant,
        })
    }
}

impl From<TenantTokens> for Tokens {
    fn from(tokens: TenantTokens) -> Self {
        Self(Kind::ByTenant(tokens))
    }
}

/// The tokens of a stage by model. [`Tokens::by_model`] makes it.
#[derive(Clone, Debug, Default)]
pub struct ModelTokens {
    sources: BTreeMap<Box<str>, TokenSource>,
    otherwise: Option<TokenSource>,
}

impl ModelTokens {
    /// Sets the token of a model. A later call for the same model replaces it.
    ///
    /// The model is that of [`Profile::target`] for the request as it goes to the upstream, without the
    /// provider after its colon. The layer reads path and body itself, as model rules do, and with the
    /// profile of the stage. A name that the client chose and a layer has replaced, such as an alias,
    /// has no effect.
    #[must_use]
    pub fn model(mut self, model: impl Into<Box<str>>, source: TokenSource) -> Self {
        let _replaced = self.sources.insert(model.into(), source);
        self
    }

    /// Sets the token of all other requests, also of those without a model, as a `GET`.
    ///
    /// By default they are rejected. A request whose model is not certain is rejected in any case, because
    /// it may reach a model with a token of its own. Examples are two members `model`, a streamed body, a
    /// body that is not a [`Payload`] or not JSON, and a path with percent signs.
    #[must_use]
    pub fn otherwise(mut self, source: TokenSource) -> Self {
        self.otherwise = Some(source);
        self
    }

    fn source<B: 'static>(
        &self,
        request: &Request<B>,
        profile: &Profile,
        origin: &Origin,
    ) -> Result<&TokenSource, NoToken> {
        let known = (request as &dyn Any).downcast_ref::<Request<Payload>>();
        let at_route;
        let request = match (known, origin.route(request.uri().path())) {
            (Some(request), Cow::Borrowed(_as_it_is)) => request,
            (known, path) => {
                let body = known.and_then(|request| request.body().try_clone());
                // A body of another type is not read, as a streamed one.
                let body = body.unwrap_or_else(|| Payload::streamed(Empty::new()));
                at_route = with_path(request, &path, body).ok_or(NoToken::NoModel)?;
                &at_route
            }
        };
        let target = profile.certain_target(request).map_err(|_uncertain| NoToken::NoModel)?;
        let model = target.and_then(|target| target.model);
        let own = model.as_deref().and_then(|model| self.sources.get(model));
        own.or(self.otherwise.as_ref()).ok_or_else(|| match model {
            Some(model) => NoToken::Model(model.into()),
            None => NoToken::NoModel,
        })
    }
}

/// Returns a request with another path and this body, to find its target.
fn with_path<B>(request: &Request<B>, path: &str, body: Payload) -> Option<Request<Payload>> {
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = path.parse().ok()?;
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

impl From<ModelTokens> for Tokens {
    fn from(tokens: ModelTokens) -> Self {
        Self(Kind::ByModel(tokens))
    }
}

/// A request for which the stage has no token.
pub(crate) enum NoToken {
    Tenant { issuer: Arc<str>, tenant: Arc<str> },
    NoTenant,
    Model(Arc<str>),
    NoModel,
}

impl NoToken {
    /// Returns the text for the caller, who needs no names.
    pub(crate) const fn detail(&self) -> &'static str {
        match self {
            Self::Tenant { .. } => "the gateway has no upstream token for your tenant",
            Self::NoTenant => "the gateway chooses its upstream token by tenant, and you have none",
            Self::Model(_) => "the gateway has no upstream token for this model",
            Self::NoModel => {
                "the gateway chooses its upstream token by model, and this request names none that is \
                 certain"
            }
        }
    }
}

/// Names the tenant or the model for the operator.
impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { issuer, tenant } => {
                let (tenant, issuer) = (Printable(tenant), Printable(issuer));
                write!(f, "no token for tenant {tenant} of issuer {issuer}; set it with TenantTokens::tenant")
            }
            Self::NoTenant => f.write_str(
                "the caller has no tenant; name its claim in ClaimMapping::tenant, or set \
                 TenantTokens::otherwise",
            ),
            Self::Model(model) => {
                let model = Printable(model);
                write!(f, "no token for model {model}; set it with ModelTokens::model")
            }
            Self::NoModel => f.write_str(
                "the model of the request is not certain; buffer its body with PayloadLayer::new(), or \
                 set ModelTokens::otherwise",
            ),
        }
    }
}
