use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    payload::Payload,
    rejection::RefusalFormat,
    throttle::{Limit, Store},
};

/// Lets pass what the budgets of inference tokens allow. See the [module](crate::throttle).
#[derive(Clone, Debug)]
pub struct TokenBudgetLayer {
    limits: Arc<Vec<Limit>>,
    store: Store,
    refusals: RefusalFormat,
}

impl TokenBudgetLayer {
    /// Holds requests to one budget: the permits of `limit` are tokens. Counted in memory.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limits: Arc::new(vec![limit]),
            store: Store::default(),
            refusals: RefusalFormat::default(),
        }
    }

    /// Holds requests to one more budget.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        Arc::make_mut(&mut self.limits).push(limit);
        self
    }

    /// Where the counters are kept: a [`MemoryStore`](crate::throttle::MemoryStore) of its own by
    /// default.
    #[must_use]
    pub fn store(mut self, store: impl Into<Store>) -> Self {
        self.store = store.into();
        self
    }

    /// How refusals look. [`RefusalFormat::Problem`] by default.
    #[must_use]
    pub const fn refusals(mut self, format: RefusalFormat) -> Self {
        self.refusals = format;
        self
    }
}

impl<S> Layer<S> for TokenBudgetLayer {
    type Service = TokenBudget<S>;

    fn layer(&self, inner: S) -> TokenBudget<S> {
        TokenBudget { inner, layer: self.clone() }
    }
}

/// The service of [`TokenBudgetLayer`].
#[derive(Clone, Debug)]
pub struct TokenBudget<S> {
    inner: S,
    #[expect(dead_code, reason = "to come")]
    layer: TokenBudgetLayer,
}

impl<S: Service<Request<Payload>>> Service<Request<Payload>> for TokenBudget<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> S::Future {
        self.inner.call(request)
    }
}
