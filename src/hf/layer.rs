use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use tower_layer::Layer;

use super::{service::HfToken, settings::Settings};
use crate::{
    model::Profile,
    rejection::RejectionFormat,
    secret::Scrubber,
    skip::Skip,
    stages::{Origin, Stage, Tokens},
};

/// A layer that sends requests to one origin with its token. See the [module docs](super) for an
/// example.
#[derive(Clone, Debug)]
pub struct HfTokenLayer {
    settings: Arc<Settings>,
}

impl HfTokenLayer {
    /// Creates a layer that sends every request to `origin` with the token of a [`TokenSource`], or with
    /// one of several [`Tokens`]. Its stage has the name `default` in logs.
    ///
    /// [`TokenSource`]: crate::hf::TokenSource
    #[must_use]
    pub fn new(origin: Origin, tokens: impl Into<Tokens>) -> Self {
        Self::stage(Stage::new("default", origin, tokens))
    }

    /// Creates a layer that sends every request to the origin of `stage` with the token of `stage`.
    ///
    /// A `FallbackLayer` outside chooses other stages.
    #[must_use]
    pub fn stage(stage: Stage) -> Self {
        Self { settings: Arc::new(Settings::new(stage)) }
    }

    /// Sets the profile of the upstream, which names the header of the token.
    ///
    /// By default the layer sends `authorization: Bearer TOKEN`.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.change_stage(|stage| stage.profile(profile));
        self
    }

    /// Sets the organisation or resource group of the Hub that pays, as the value of `x-hf-bill-to`.
    ///
    /// By default the owner of the token pays.
    #[must_use]
    pub fn bill_to(mut self, account: HeaderValue) -> Self {
        self.change_stage(|stage| stage.bill_to(account));
        self
    }

    /// Lets a response header pass that the layer removes otherwise.
    ///
    /// Call it once for each header. A header that contains the token is removed in any case.
    #[must_use]
    pub fn allow_response_header(mut self, name: HeaderName) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        let before = settings.allowed.iter().flat_map(|allowed| allowed.iter()).cloned();
        settings.allowed = Some(before.chain([name]).collect());
        self
    }

    /// Masks the token in response bodies, across the borders of chunks.
    ///
    /// By default bodies pass unsearched. With this setting each byte of the token becomes `*`, in every
    /// spelling that a [`Scrubber`] knows, and a WARN event says so, once a minute at most. The length
    /// stays, so that `content-length` stays right although the head has left. A stream is passed on at
    /// once, except for bytes at the end of a chunk that may be the start of the token.
    ///
    /// The request gets `accept-encoding: identity` and loses `range`. Messages of gRPC and Connect have no
    /// coding either. A response with a coding is rejected with 502 because it cannot be searched. Digests
    /// of the body are removed.
    #[must_use]
    pub fn scrub_bodies(mut self) -> Self {
        Arc::make_mut(&mut self.settings).scrub_bodies = true;
        self
    }

    /// Returns a scrubber that removes the tokens of the stage from other text, for
    /// `AccessLogLayer::scrubber` and for logs of your own. It follows their sources.
    #[must_use]
    pub fn scrubber(&self) -> Scrubber {
        self.settings.stage.scrubber().clone()
    }

    /// Returns the time since the token was read from its file or fetched, of several tokens that of
    /// the oldest. Returns `None` for fixed tokens and before the first fetch.
    #[must_use]
    pub fn token_age(&self) -> Option<Duration> {
        self.settings.stage.token_age()
    }

    /// Returns whether every token of the stage can be sent now. Starts the fetch of one that cannot.
    /// See [`Stage::is_ready`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.settings.stage.is_ready()
    }

    pub(crate) fn settings_stage(&self) -> &Stage {
        &self.settings.stage
    }

    /// Returns the name of the header that carries the token.
    pub(crate) fn token_header(&self) -> HeaderName {
        self.settings.stage.token_header()
    }

    fn change_stage(&mut self, change: impl FnOnce(Stage) -> Stage) {
        let settings = Arc::make_mut(&mut self.settings);
        settings.stage = change(settings.stage.clone());
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        Arc::make_mut(&mut self.settings).format = format;
        self
    }
}

impl<S> Layer<S> for HfTokenLayer {
    type Service = HfToken<S>;

    fn layer(&self, inner: S) -> HfToken<S> {
        HfToken::from_parts(inner, Some(Arc::clone(&self.settings)))
    }
}

impl<S> Skip<S> for HfTokenLayer {
    fn skip(inner: S) -> HfToken<S> {
        HfToken::from_parts(inner, None)
    }
}
