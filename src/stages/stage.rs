use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, header::HOST};

use super::{
    origin::Origin,
    token::{Owner, Token, TokenSource},
    tokens::{NoToken, Tokens},
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
    tokens: Tokens,
    // Finds all tokens.
    scrubber: Scrubber,
    profile: Profile,
    token_header: TokenHeader,
    bill_to: Option<HeaderValue>,
    known_paths_only: bool,
}

impl Stage {
    /// Creates a stage with one [`TokenSource`] or several [`Tokens`]. The name is for logs, for the
    /// access log and for the response's header of a fallback. It is not sent upstream.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, origin: Origin, tokens: impl Into<Tokens>) -> Self {
        let (name, tokens, profile) = (name.into(), tokens.into(), Profile::default());
        tokens.set_owner(&Owner { stage: Arc::clone(&name), upstream: origin.shared_name() });
        let scrubber = tokens.scrubber();
        let token_header = profile.clone().into_token_header();
        let parts = Parts {
            name,
            origin,
            tokens,
            scrubber,
            profile,
            token_header,
            bill_to: None,
            known_paths_only: false,
        };
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

    /// Sends only requests on the [known paths](Profile#known-paths) of the profile. Others are rejected
    /// with a 404 `not-found` and do not reach the upstream.
    ///
    /// A server of inference also has routes that manage it, and the token opens them. Examples are
    /// `/metrics`, `/slots`, `/v1/load_lora_adapter` and `/_custom_router/set-backends`.
    /// [`Profile::route`] adds a path. With this setting no request leaves the prefix of the origin.
    ///
    /// By default every path is sent, because a gateway usually has routes of its own:
    /// [`RouteLayer`](crate::route::RouteLayer) or a router of yours. A stage of a fallback needs this
    /// setting when its server is of another kind than the first.
    ///
    /// ```
    /// use tower_inference::{
    ///     hf::{Stage, TokenSource},
    ///     model::{BodyForm, Profile},
    ///     secret::Secret,
    /// };
    ///
    /// let token = TokenSource::value(Secret::new("hf_example"))?;
    /// let stage = Stage::new("chat", "https://vllm.internal".parse()?, token)
    ///     .profile(Profile::vllm().route("/v1/decisions", BodyForm::Reads))
    ///     .known_paths_only();
    /// # let _ = stage;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn known_paths_only(mut self) -> Self {
        Arc::make_mut(&mut self.parts).known_paths_only = true;
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

    /// Returns whether every token of the stage can be sent now. Starts the fetch of one that cannot.
    ///
    /// A readiness probe that calls this keeps requests away until the first tokens are there. A token of
    /// a value, a variable or a file is always there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        // All, so that each one is fetched.
        let ready = self.parts.tokens.sources().into_iter().filter(|source| source.is_ready());
        ready.count() == self.parts.tokens.sources().len()
    }

    /// Returns a scrubber that removes the tokens of the stage from other text. It follows their sources.
    ///
    /// `Stack` gives those of its `HfTokenLayer` and its `FallbackLayer` to its `AccessLogLayer`. Without
    /// a `Stack` and for logs of your own, add that of each stage.
    #[must_use]
    pub fn scrubber(&self) -> &Scrubber {
        &self.parts.scrubber
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.parts.name)
    }

    pub(crate) fn kind(&self) -> &Profile {
        &self.parts.profile
    }

    /// Returns the time since the oldest token was read from its file or fetched.
    pub(crate) fn token_age(&self) -> Option<Duration> {
        self.parts.tokens.sources().into_iter().filter_map(TokenSource::age).max()
    }

    /// Returns how often the tokens could not be fetched or read.
    pub(crate) fn token_failures(&self) -> u64 {
        self.parts.tokens.sources().into_iter().map(TokenSource::failures).sum()
    }

    /// Returns whether every token can be sent now. Starts no fetch.
    pub(crate) fn has_tokens(&self) -> bool {
        self.parts.tokens.sources().into_iter().all(TokenSource::has_token)
    }

    /// Whether requests to this stage have different tokens, so that one token's limit says nothing about
    /// another one's.
    #[cfg_attr(not(feature = "fallback"), expect(dead_code, reason = "only a fallback cools down"))]
    pub(crate) fn tokens_differ(&self) -> bool {
        self.parts.tokens.differ()
    }

    /// Returns the source of the request's token.
    pub(super) fn source<B: 'static>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
    ) -> Result<&TokenSource, NoToken> {
        let Parts { tokens, profile, origin, .. } = &*self.parts;
        tokens.source(request, context, profile, origin)
    }

    /// Returns the name of the header that carries the token.
    pub(crate) fn token_header(&self) -> HeaderName {
        self.parts.token_header.name()
    }

    /// Returns whether a request for this path may be sent with the token.
    pub(crate) fn takes(&self, method: &Method, path: &str) -> bool {
        let parts = &*self.parts;
        !parts.known_paths_only || parts.profile.has_route(method, &parts.origin.route(path))
    }

    /// Points the request at the origin and gives it the headers of the origin with `token`. `None` when
    /// its target has no path.
    pub(super) fn direct<B>(&self, request: &mut Request<B>, token: &Token) -> Option<()> {
        let parts = &*self.parts;
        let uri = parts.origin.redirect(std::mem::take(request.uri_mut()))?;
        *request.uri_mut() = uri;
        if let Some(permission) = parts.origin.plain_http() {
            permission.allow(request);
        }
        let headers = request.headers_mut();
        headers.insert(HOST, parts.origin.host());
        token.insert_into(headers, &parts.token_header);
        if let Some(account) = &parts.bill_to {
            headers.insert(X_HF_BILL_TO, account.clone());
        }
        Some(())
    }

    /// Makes this stage the one that the token layer uses for the next attempt of a request.
    #[cfg_attr(not(feature = "fallback"), expect(dead_code, reason = "only a fallback chooses"))]
    pub(crate) fn choose(self: Arc<Self>, context: &RequestContext) {
        context.set_chosen_stage(self);
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
            .field("tokens", &self.parts.tokens)
            .finish_non_exhaustive()
    }
}
