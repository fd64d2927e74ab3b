use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use tower_layer::Layer;

use super::{origin::Origin, service::HfToken, settings::Settings, token::TokenSource};
use crate::{model::Profile, rejection::RejectionFormat, secret::Scrubber, skip::Skip};

/// A layer that sends requests to one origin with its token. See the [module docs](super) for an
/// example.
#[derive(Clone, Debug)]
pub struct HfTokenLayer {
    settings: Arc<Settings>,
}

impl HfTokenLayer {
    /// Creates a layer that sends every request to `origin` with the token of `source`.
    #[must_use]
    pub fn new(origin: Origin, source: TokenSource) -> Self {
        Self { settings: Arc::new(Settings::new(origin, source)) }
    }

    /// Sets the profile of the upstream, which names the header of the token.
    ///
    /// By default the layer sends `authorization: Bearer TOKEN`.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        Arc::make_mut(&mut self.settings).token_header = profile.into_token_header();
        self
    }

    /// Sets the organisation or resource group of the Hub that pays, as the value of `x-hf-bill-to`.
    ///
    /// By default the owner of the token pays.
    #[must_use]
    pub fn bill_to(mut self, account: HeaderValue) -> Self {
        Arc::make_mut(&mut self.settings).bill_to = Some(account);
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

    /// Returns a scrubber that removes the token from other text, for `AccessLogLayer::scrubber` and
    /// for logs of your own. It follows the token's file.
    #[must_use]
    pub fn scrubber(&self) -> Scrubber {
        self.settings.source.scrubber().clone()
    }

    /// Returns the time since the token was read from its file. Returns `None` without a file.
    #[must_use]
    pub fn token_age(&self) -> Option<Duration> {
        self.settings.source.age()
    }

    /// Returns the name of the header that carries the token.
    pub(crate) fn token_header(&self) -> HeaderName {
        self.settings.token_header.name()
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
