use std::{collections::BTreeMap, sync::Arc};

use http::Request;

use super::estimate::Estimate;
use crate::{model::Profile, payload::Payload};

/// The permits that one token of the prompt and one token of the output cost.
///
/// Whole numbers keep sums exact. Choose the value of a permit so that prices become whole: a model
/// that costs $0.60 and $1.80 for a million tokens is `Weight::new(6, 18)` with permits of a tenth of
/// a micro-dollar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weight {
    prompt: u32,
    output: u32,
}

impl Weight {
    /// Sets the permits for a token of the prompt and for a token of the output.
    #[must_use]
    pub const fn new(prompt: u32, output: u32) -> Self {
        Self { prompt, output }
    }

    /// Returns the tokens of output that half of these permits pay for.
    pub(super) fn half_of(self, permits: u64) -> u32 {
        let tokens = permits / 2 / u64::from(self.output.max(1));
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Returns the permits for `tokens`, at most `u64::MAX`.
    pub(super) const fn of(self, prompt: u64, output: u64) -> u64 {
        let prompt = prompt.saturating_mul(self.prompt as u64);
        prompt.saturating_add(output.saturating_mul(self.output as u64))
    }

    /// Returns the permits to reserve for a request.
    pub(super) const fn cost(self, estimate: &Estimate) -> u64 {
        self.of(estimate.prompt, estimate.output)
    }
}

/// The weights of models.
///
/// A model is looked up as `org/name:provider` if the request names the provider. It is looked up as
/// `org/name` otherwise, or if the table lacks the first name.
#[derive(Clone, Debug)]
pub struct Weights {
    profile: Arc<Profile>,
    otherwise: Weight,
    models: Arc<BTreeMap<Box<str>, Weight>>,
}

impl Weights {
    /// Creates a table for an upstream of this `profile`. `otherwise` is the weight of each model that
    /// is not in the table, and of requests whose model is uncertain. It should be the highest.
    #[must_use]
    pub fn new(profile: Profile, otherwise: Weight) -> Self {
        Self { profile: Arc::new(profile), otherwise, models: Arc::default() }
    }

    /// Sets the weight of a model.
    #[must_use]
    pub fn model(mut self, name: impl Into<Box<str>>, weight: Weight) -> Self {
        Arc::make_mut(&mut self.models).insert(name.into(), weight);
        self
    }

    pub(super) fn of(&self, request: &Request<Payload>) -> Weight {
        let Ok(target) = self.profile.target(request) else { return self.otherwise };
        let Some(model) = target.model.as_deref() else { return self.otherwise };
        let exact = self.models.get(target.to_string().as_str());
        exact.or_else(|| self.models.get(model)).copied().unwrap_or(self.otherwise)
    }
}
