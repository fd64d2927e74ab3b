use std::{future::Future, sync::Arc};

use tower_layer::Layer;

use super::{service::TokenBudget, settings::Settings, tokenizer::Tokenizer, weights::Weights};
use crate::{
    limits::{Limit, LimitCounts, LimitError, LimitHeaders, LimitSet, LimitState, Store, Subject},
    model::Profile,
    rejection::RejectionFormat,
    skip::Skip,
};

/// A layer that rejects requests beyond budgets of inference tokens.
///
/// Clones and their services share the counters. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct TokenBudgetLayer {
    settings: Arc<Settings>,
}

impl TokenBudgetLayer {
    /// Creates a layer with one budget. Its counters are in memory. Each permit of `limit` is a token.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self { settings: Arc::new(Settings::new(limit)) }
    }

    /// Adds a budget. A request must pass all budgets of the layer.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits().push(limit);
        self
    }

    /// Sets the store of the counters. Defaults to a [`MemoryStore`](crate::limits::MemoryStore) of
    /// the layer's own.
    #[must_use]
    pub fn store(mut self, store: impl Into<Store>) -> Self {
        self.limits().set_store(store.into());
        self
    }

    /// Takes over the store and the counts of the layer that this one replaces.
    ///
    /// Limits are matched by name. Call this setter last: a limit that is added later starts from
    /// zero.
    #[must_use]
    pub fn inherit_state(mut self, old: &Self) -> Self {
        self.limits().inherit_state(&old.settings.limits);
        self
    }

    /// Sets the kind of upstream. Defaults to [`Profile::compatible`].
    ///
    /// The profile determines the form of each body and the name of the output limit. It also
    /// determines whether streams are made to report their usage.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.settings().estimator.set_profile(profile);
        self
    }

    /// Sets the output limit of requests that have none. Defaults to 1,024 tokens. The minimum
    /// is 1.
    ///
    /// The layer writes the limit into the body so that the upstream enforces it. If it would exceed
    /// a budget, the layer writes half of the budget's capacity instead.
    #[must_use]
    pub fn default_output_limit(mut self, tokens: u32) -> Self {
        self.settings().estimator.set_default_output_limit(tokens);
        self
    }

    /// Sets a function that counts the tokens of a text. Defaults to an estimate.
    ///
    /// It counts each text of the prompt. It also counts the text of a stream that ends before it
    /// reports its usage. Each event of each stream is parsed for this. The function runs inside of
    /// `call` and `poll_frame` and must neither block nor panic.
    #[must_use]
    pub fn tokenizer(mut self, count: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Self {
        self.settings().estimator.set_tokenizer(Tokenizer::new(count));
        self
    }

    /// Sets the cost of a token for each model. Defaults to one permit a token.
    ///
    /// ```
    /// use tower_inference::{
    ///     limits::{Limit, Quota},
    ///     model::Profile,
    ///     token_budget::{TokenBudgetLayer, Weight, Weights},
    /// };
    ///
    /// let weights = Weights::new(Profile::compatible(), Weight::new(6, 18))
    ///     .model("openai/gpt-oss-20b", Weight::new(1, 4));
    /// let layer =
    ///     TokenBudgetLayer::new(Limit::per_tenant(Quota::per_month(10_000_000))).weights(weights);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.settings().weights = Some(weights);
        self
    }

    /// Accepts bodies that are not JSON, such as images and streams, at this cost each. They are rejected
    /// by default.
    ///
    /// Other text costs a quarter of its bytes if that is more. A body that claims to be JSON or
    /// begins like JSON is still rejected if it is invalid or streamed. An image in a chat is
    /// estimated at 1,000 tokens. If the upstream reports usage, the usage is charged. Its prompt is
    /// bounded for text by the bytes. Zero makes such requests free unless usage is reported, which is
    /// then charged up to 256 tokens.
    #[must_use]
    pub fn flat_cost(mut self, tokens: u64) -> Self {
        self.settings().estimator.set_flat_cost(tokens);
        self
    }

    /// Sets the response headers that describe the budgets. Defaults to [`LimitHeaders::RateLimit`].
    ///
    /// The headers are sent before the response ends. The remaining permits in them lack the whole
    /// reservation.
    #[must_use]
    pub fn headers(mut self, headers: LimitHeaders) -> Self {
        self.limits().set_headers(headers);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        self.settings().rejections = format;
        self
    }

    /// Returns the counts of each limit in the order of the limits. They count this process alone, also
    /// with a shared store.
    #[must_use]
    pub fn counts(&self) -> Vec<LimitCounts> {
        self.settings.limits.counts()
    }

    /// Returns the state of a limit for a subject. Takes no permits.
    ///
    /// # Errors
    ///
    /// Returned when the layer has no such limit or tier, when the limit counts another kind of
    /// subject and when the store cannot be reached.
    pub fn limit_state(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitState, LimitError>> + Send + use<> {
        self.settings.limits.limit_state(limit, subject)
    }

    /// Resets the counters of a limit for a subject in each tier.
    ///
    /// A store in memory resets them before the future is polled.
    ///
    /// # Errors
    ///
    /// Returned when the layer has no such limit, when the limit counts another kind of subject and
    /// when the store cannot be reached.
    pub fn reset(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), LimitError>> + Send + use<> {
        self.settings.limits.reset(limit, subject)
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn limits(&mut self) -> &mut LimitSet {
        Arc::make_mut(&mut self.settings().limits)
    }
}

impl<S> Layer<S> for TokenBudgetLayer {
    type Service = TokenBudget<S>;

    fn layer(&self, inner: S) -> TokenBudget<S> {
        TokenBudget::from_parts(inner, Some(Arc::clone(&self.settings)))
    }
}

impl<S> Skip<S> for TokenBudgetLayer {
    fn skip(inner: S) -> TokenBudget<S> {
        TokenBudget::from_parts(inner, None)
    }
}
