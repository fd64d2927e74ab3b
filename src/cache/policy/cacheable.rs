use std::sync::Arc;

use http::Request;

use super::{bypass::BypassReason, deterministic::is_deterministic, stateful::is_stateful};
use crate::{cache::settings::Function, payload::Payload};

/// The requests that share responses.
#[derive(Clone, Debug)]
pub struct Cacheable(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Deterministic,
    Always,
    By(Function<IsCacheable>),
}

type IsCacheable = dyn Fn(&Request<Payload>) -> bool + Send + Sync;

impl Cacheable {
    /// Selects the requests that ask for a deterministic response. This is the default.
    ///
    /// They have a `temperature` of zero, a `seed` or `do_sample: false`. Requests for embeddings,
    /// rankings, classes and tokens are deterministic as well, which their path shows.
    ///
    /// A request is never selected if the server keeps state for it or looks something up: a
    /// `conversation`, `background`, `store` and `container`, hosted tools such as `web_search`, and
    /// searches such as `web_search_options`.
    #[must_use]
    pub const fn deterministic() -> Self {
        Self(Rule::Deterministic)
    }

    /// Selects all requests except the stateful ones that
    /// [`deterministic`](Self::deterministic) excludes. A sampled response is then sampled once.
    #[must_use]
    pub const fn always() -> Self {
        Self(Rule::Always)
    }

    /// Selects the requests for which `is_cacheable` returns `true`.
    ///
    /// The function runs inside of `call`, so it must neither block nor panic.
    pub fn by(is_cacheable: impl Fn(&Request<Payload>) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::By(Function::new(Arc::new(is_cacheable))))
    }

    /// Returns why a request is not selected, apart from its state. Returns `None` otherwise.
    pub(crate) fn excludes(&self, request: &Request<Payload>) -> Option<BypassReason> {
        match &self.0 {
            Rule::Deterministic => match request.body().document() {
                Err(_) => Some(BypassReason::NotJson),
                Ok(document) => (!is_deterministic(request.uri().path(), document.root()))
                    .then_some(BypassReason::NotDeterministic),
            },
            Rule::Always => None,
            Rule::By(is_cacheable) => (!is_cacheable(request)).then_some(BypassReason::NotSelected),
        }
    }

    /// Returns whether a request is not selected because it is stateful. This depends on the body alone.
    pub(crate) fn excludes_state_of(&self, request: &Request<Payload>) -> bool {
        matches!(self.0, Rule::Deterministic | Rule::Always)
            && request.body().document().is_ok_and(|document| is_stateful(document.root()))
    }
}

/// Returns [`Cacheable::deterministic`].
impl Default for Cacheable {
    fn default() -> Self {
        Self::deterministic()
    }
}
