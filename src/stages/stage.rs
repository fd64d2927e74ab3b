use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue, Request, header::HOST};

use super::{
    origin::Origin,
    token::{Acquired, TokenSource},
};
use crate::{
    context::RequestContext,
    model::{Profile, TokenHeader},
    secret::Scrubber,
};

const X_HF_BILL_TO: HeaderName = HeaderName::from_static("x-hf-bill-to");

/// An upstream with its name: the origin, the token and the profile, which belong together.
///
/// A token is read and attached by the stage that owns it, so it cannot reach the origin of another
/// stage. Clones share the token.
///
/// ```
/// use tower_inference::{
///     hf::{HfTokenLayer, Stage, TokenSource},
///     model::Profile,
///     secret::Secret,
/// };
///
/// let token = TokenSource::value(Secret::new("hf_example"))?;
/// let stage = Stage::new("prod", "https://router.huggingface.co".parse()?, token)
///     .profile(Profile::router());
/// assert_eq!(stage.name(), "prod");
/// let layer = HfTokenLayer::stage(stage);
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stage {
    parts: Arc<Parts>,
}

#[derive(Clone)]
struct Parts {
    name: Arc<str>,
    origin: Origin,
    source: TokenSource,
    profile: Profile,
    token_header: TokenHeader,
    bill_to: Option<HeaderValue>,
}

impl Stage {
    /// Creates a stage. The name is for logs, for the access log and for the response's header of a
    /// fallback. It is not sent upstream.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, origin: Origin, source: TokenSource) -> Self {
        let (name, profile) = (name.into(), Profile::default());
        let token_header = profile.clone().into_token_header();
        let parts = Parts { name, origin, source, profile, token_header, bill_to: None };
        Self { parts: Arc::new(parts) }
    }

    /// Sets the kind of upstream. It names the header of the token. Defaults to
    /// [`Profile::compatible`], which sends `authorization: Bearer TOKEN`.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        let parts = Arc::make_mut(&mut self.parts);
        parts.token_header = profile.clone().into_token_header();
        parts.profile = profile;
        self
    }

    /// Sets the organisation or resource group of the Hub that pays, as the value of `x-hf-bill-to`.
    ///
    /// By default the owner of the token pays.
    #[must_use]
    pub fn bill_to(mut self, account: HeaderValue) -> Self {
        Arc::make_mut(&mut self.parts).bill_to = Some(account);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Returns the origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.parts.origin
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.parts.name)
    }

    pub(crate) fn kind(&self) -> &Profile {
        &self.parts.profile
    }

    pub(crate) fn source(&self) -> &TokenSource {
        &self.parts.source
    }

    pub(crate) fn scrubber(&self) -> &Scrubber {
        self.parts.source.scrubber()
    }

    /// Returns the name of the header that carries the token.
    pub(crate) fn token_header(&self) -> HeaderName {
        self.parts.token_header.name()
    }

    /// Points the request at the origin. `None` when its target has no path.
    pub(crate) fn redirect<B>(&self, request: &mut Request<B>) -> Option<()> {
        let origin = &self.parts.origin;
        let uri = origin.redirect(std::mem::take(request.uri_mut()))?;
        *request.uri_mut() = uri;
        if let Some(permission) = origin.plain_http() {
            permission.allow(request);
        }
        Some(())
    }

    /// Sets the headers of the origin with its token.
    pub(crate) fn insert_headers<B>(&self, request: &mut Request<B>) {
        let parts = &*self.parts;
        let headers = request.headers_mut();
        headers.insert(HOST, parts.origin.host());
        if let Acquired::Token(token) = parts.source.acquire() {
            token.insert_into(headers, &parts.token_header);
        }
        if let Some(account) = &parts.bill_to {
            headers.insert(X_HF_BILL_TO, account.clone());
        }
    }

    /// Makes this stage the one that the token layer uses for the next attempt of a request.
    #[cfg_attr(not(feature = "fallback"), expect(dead_code, reason = "only a fallback chooses"))]
    pub(crate) fn choose(&self, context: &RequestContext) {
        context.set_chosen_stage(Arc::new(self.clone()));
    }

    /// Returns the stage that a layer outside has chosen.
    pub(crate) fn chosen(context: &RequestContext) -> Option<Arc<Self>> {
        context.chosen_stage()?.downcast().ok()
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.parts.name)
            .field("origin", &self.parts.origin)
            .field("source", &self.parts.source)
            .finish_non_exhaustive()
    }
}
