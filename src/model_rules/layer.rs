use std::sync::Arc;

use http::Method;
use tower_layer::Layer;

use super::{rule::ModelRules, service::EnforceModelRules, settings::Settings};
#[cfg(feature = "auth")]
use crate::identity::Callers;
use crate::{memory_limit::MemoryLimit, model::Profile, rejection::RejectionFormat, skip::Skip};

/// Makes [`EnforceModelRules`] services. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct ModelRulesLayer {
    settings: Arc<Settings>,
}

impl ModelRulesLayer {
    /// Creates a layer that applies `rules` to every request for an upstream of this `profile`.
    #[must_use]
    pub fn new(profile: Profile, rules: ModelRules) -> Self {
        Self { settings: Arc::new(Settings::new(profile, rules)) }
    }

    /// Lets every caller use a route that reaches no model, such as `/health`.
    ///
    /// No route is open by default. The list of models does not need it. The path is compared byte for
    /// byte. No rule applies to an open route, whatever it reaches.
    #[must_use]
    pub fn open_route(mut self, method: Method, path: impl Into<Box<str>>) -> Self {
        Arc::make_mut(&mut self.settings).open_routes.push((method, path.into()));
        self
    }

    /// Sets the maximum size of a list of models. Defaults to 10 MiB. A longer list is a 502.
    #[must_use]
    pub fn max_list_bytes(mut self, bytes: u64) -> Self {
        Arc::make_mut(&mut self.settings).max_list_bytes = bytes;
        self
    }

    /// Sets the memory that all lists share while they are read and sent.
    ///
    /// Defaults to 64 MiB for this layer and its clones. A list takes twice its length. A request for a
    /// list beyond the limit is rejected with 503 `overloaded`. A limit can be shared with other layers,
    /// for example with [`PayloadLayer::memory_limit`](crate::payload::PayloadLayer::memory_limit).
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        Arc::make_mut(&mut self.settings).memory = limit;
        self
    }

    /// Returns the conditions of the rules on callers.
    #[cfg(feature = "auth")]
    pub(crate) fn callers(&self) -> impl Iterator<Item = &Callers> {
        self.settings.rules.callers()
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        Arc::make_mut(&mut self.settings).format = format;
        self
    }
}

impl<S> Layer<S> for ModelRulesLayer {
    type Service = EnforceModelRules<S>;

    fn layer(&self, inner: S) -> EnforceModelRules<S> {
        EnforceModelRules::from_parts(inner, Some(Arc::clone(&self.settings)))
    }
}

impl<S> Skip<S> for ModelRulesLayer {
    fn skip(inner: S) -> EnforceModelRules<S> {
        EnforceModelRules::from_parts(inner, None)
    }
}
