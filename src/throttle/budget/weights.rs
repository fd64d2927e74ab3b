use std::{collections::BTreeMap, sync::Arc};

use http::Request;

use crate::{model::Profile, payload::Payload};

/// What a token costs: so many permits for one of the prompt, and for one of the answer.
///
/// Whole numbers, so that nothing is lost in sums: with permits of a micro-dollar, a model at $0.60
/// and $1.80 for a million tokens is `Weight::new(1, 2)` at the nearest, and exact with permits of a
/// tenth of that: `Weight::new(6, 18)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weight {
    prompt: u32,
    completion: u32,
}

impl Weight {
    /// Permits for a token of the prompt, and for one of the answer.
    #[must_use]
    pub const fn new(prompt: u32, completion: u32) -> Self {
        Self { prompt, completion }
    }

    /// The tokens of an answer that half of these permits pay for.
    pub(super) fn half_of(self, permits: u64) -> u32 {
        let tokens = permits / 2 / u64::from(self.completion.max(1));
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// At most `u64::MAX`.
    pub(super) const fn of(self, prompt: u64, completion: u64) -> u64 {
        let prompt = prompt.saturating_mul(self.prompt as u64);
        prompt.saturating_add(completion.saturating_mul(self.completion as u64))
    }
}

/// What tokens of each model cost.
///
/// A model is looked up as `org/name:provider` where the request says the provider, and else, or
/// where the table does not, as `org/name`.
#[derive(Clone, Debug)]
pub struct Weights {
    profile: Arc<Profile>,
    otherwise: Weight,
    models: Arc<BTreeMap<Box<str>, Weight>>,
}

impl Weights {
    /// A table for the models of an upstream of this `profile`. One that is not in it costs `otherwise`, and so does a
    /// request whose model cannot be told for certain: let it be the dearest.
    #[must_use]
    pub fn new(profile: Profile, otherwise: Weight) -> Self {
        Self { profile: Arc::new(profile), otherwise, models: Arc::default() }
    }

    /// Sets what a model costs.
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
