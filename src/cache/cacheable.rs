use std::sync::Arc;

use http::Request;

use super::{deterministic::is_deterministic, function::Function};
use crate::payload::Payload;

/// Which requests may be answered by what others were answered.
#[derive(Clone, Debug)]
pub struct Cacheable(Which);

#[derive(Clone, Debug)]
enum Which {
    Deterministic,
    Always,
    By(Function<Choice>),
}

type Choice = dyn Fn(&Request<Payload>) -> bool + Send + Sync;

impl Cacheable {
    /// Those that are to get the same answer by their own words: a `temperature` of zero, a `seed`,
    /// `do_sample: false`; and those for embeddings, rankings, classes and tokens, known by the end
    /// of their path. The default.
    #[must_use]
    pub const fn deterministic() -> Self {
        Self(Which::Deterministic)
    }

    /// All: also what is sampled is then sampled once.
    #[must_use]
    pub const fn always() -> Self {
        Self(Which::Always)
    }

    /// Those for which the function says so. It runs inside of `call`: it must neither block nor
    /// panic.
    pub fn by(which: impl Fn(&Request<Payload>) -> bool + Send + Sync + 'static) -> Self {
        Self(Which::By(Function::new(Arc::new(which))))
    }

    pub(super) fn is(&self, request: &Request<Payload>) -> bool {
        match &self.0 {
            Which::Deterministic => {
                let path = request.uri().path();
                let document = request.body().document();
                document.is_ok_and(|document| is_deterministic(path, document.root()))
            }
            Which::Always => true,
            Which::By(which) => which(request),
        }
    }
}

/// [`Cacheable::deterministic`].
impl Default for Cacheable {
    fn default() -> Self {
        Self::deterministic()
    }
}
