use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    budget::Budget, retry_budget::RetryBudget, service::Fallback, settings::Settings,
    target::Target,
};
use crate::{rejection::RejectionFormat, secret::Scrubber, skip::Skip};

/// A layer that tries the targets of a request in their order until one responds. See the [module
/// docs](super) for an example.
#[derive(Clone, Debug)]
pub struct FallbackLayer {
    settings: Arc<Settings>,
}

impl FallbackLayer {
    /// Creates a layer that tries these targets in their order.
    ///
    /// Without targets each request passes unchanged.
    #[must_use]
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        Self { settings: Arc::new(Settings::new(targets)) }
    }

    /// Sets the targets of requests that name this model.
    ///
    /// A name that no upstream knows is an alias. The name is compared byte for byte. The targets given
    /// last for a name apply. A target without a [model](Target::model) gets the name itself. Without
    /// targets a request for this name passes unchanged.
    #[must_use]
    pub fn model(
        mut self,
        name: impl Into<Box<str>>,
        targets: impl IntoIterator<Item = Target>,
    ) -> Self {
        Arc::make_mut(&mut self.settings).set_model(name.into(), targets);
        self
    }

    /// Sets how many more attempts a target gets after a failure.
    ///
    /// Defaults to 0. Retries wait with exponential backoff and jitter.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        Arc::make_mut(&mut self.settings).retries = retries;
        self
    }

    /// Sets the maximum number of attempts of a request over all targets.
    ///
    /// Defaults to one for each target and each of its [retries](Self::retries), at most 16. Zero counts
    /// as one, and the maximum is 64. Attempts after a [wait for a model](Self::wait_for_model) do not
    /// count. The deadline of the wait bounds them, and a request has at most 1,024 such waits.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        Arc::make_mut(&mut self.settings).set_max_attempts(attempts);
        self
    }

    /// Sets how long an attempt may take from its call to the first content of its response.
    ///
    /// Defaults to 60 seconds. A comment, a ping or the role of a message is no content. Later the attempt
    /// ends when another target can start at once, and otherwise it goes on. It is not ended for a retry
    /// of its own target. A response whose head has arrived is passed on if no other target can start.
    /// [`Duration::MAX`] waits without end.
    #[must_use]
    pub fn first_content_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.settings).first_content_timeout = timeout;
        self
    }

    /// Sets the budget of retries. Defaults to [`RetryBudget::new`].
    ///
    /// A fallback to another target takes nothing from it.
    #[must_use]
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        Arc::make_mut(&mut self.settings).budget = Arc::new(Budget::new(budget));
        self
    }

    /// Sets how long a target is avoided after a failed connection, a timeout, or a 429 or 503 without
    /// `retry-after`.
    ///
    /// Defaults to 5 seconds. A target that is avoided is tried when no other one is left.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.settings).cool_down = time;
        self
    }

    /// Sets the longest time for which the `retry-after` of an upstream is obeyed.
    ///
    /// Defaults to 60 seconds.
    #[must_use]
    pub fn max_cool_down(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.settings).max_cool_down = time;
        self
    }

    /// Waits for a model that loads (503 with `retry-after`) or is busy (429), at most this long from
    /// the first attempt.
    ///
    /// Each wait takes the time that the upstream asks for and at least half a second. A random time of up
    /// to a tenth of it is added, between half a second and 5 seconds and within the timeout. A response
    /// that asks for more time than is left is passed on at once. A request that waits has no slot of
    /// `UpstreamLayer`. That layer is needed inside for models whose 503 has an `estimated_time` and no
    /// `retry-after`. A paused endpoint is not waited for, because only its owner can resume it.
    ///
    /// By default such a response is passed on when no other target is left.
    #[must_use]
    pub fn wait_for_model(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.settings).wait_for_model = Some(timeout);
        self
    }

    /// Leaves out the response header `x-inference-target`, which has the
    /// [name](Target::name) of the target.
    #[must_use]
    pub fn without_target_header(mut self) -> Self {
        Arc::make_mut(&mut self.settings).target_header = false;
        self
    }

    /// Returns one target of each name.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.settings.named_targets()
    }

    /// Returns a scrubber of the tokens of all targets.
    pub(crate) fn scrubber(&self) -> Scrubber {
        Scrubber::joined(self.settings.all_targets().map(|target| target.stage.scrubber()))
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        Arc::make_mut(&mut self.settings).format = format;
        self
    }
}

impl<S> Layer<S> for FallbackLayer {
    type Service = Fallback<S>;

    fn layer(&self, inner: S) -> Fallback<S> {
        Fallback::from_parts(inner, Some(Arc::clone(&self.settings)))
    }
}

impl<S> Skip<S> for FallbackLayer {
    fn skip(inner: S) -> Fallback<S> {
        Fallback::from_parts(inner, None)
    }
}
