use std::sync::Arc;

use http::{Method, Request, header::AUTHORIZATION};

use super::rule::ModelRules;
#[cfg(feature = "fallback")]
use crate::model::Judge;
use crate::{
    context::RequestContext,
    identity::Identity,
    memory_limit::MemoryLimit,
    model::{Profile, Target},
    payload::Payload,
    rejection::{Refusal, Rejection, RejectionFormat},
    unverified::UnverifiedCredentials,
};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) profile: Profile,
    pub(super) rules: Arc<ModelRules>,
    #[cfg(feature = "fallback")]
    judge: Arc<Judge>,
    pub(super) open_routes: Vec<(Method, Box<str>)>,
    pub(super) max_list_bytes: u64,
    pub(super) memory: MemoryLimit,
    pub(super) format: RejectionFormat,
    unverified: Arc<UnverifiedCredentials>,
}

/// The result of the rules for an allowed request.
pub(super) enum Decision {
    /// The request passes.
    Pass,
    /// The request passes and its response is a list of models to filter.
    FilterList,
}

impl Settings {
    pub(super) fn new(profile: Profile, rules: ModelRules) -> Self {
        let rules = Arc::new(rules);
        #[cfg(feature = "fallback")]
        let judge = {
            let rules = Arc::clone(&rules);
            Judge::new(move |target, caller| rules.allows(target, caller))
        };
        Self {
            profile,
            rules,
            #[cfg(feature = "fallback")]
            judge,
            open_routes: Vec::new(),
            max_list_bytes: 10 * 1024 * 1024,
            memory: MemoryLimit::new(64 * 1024 * 1024),
            format: RejectionFormat::default(),
            unverified: Arc::default(),
        }
    }

    pub(super) fn decide(
        &self,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Result<Decision, Rejection> {
        let caller = context.identity();
        if caller.is_none()
            && request.headers().contains_key(AUTHORIZATION)
            && self.rules.need_identity()
        {
            let problem = "a model rule needs an identity and received";
            self.unverified.count("ModelRulesLayer", None, problem);
        }
        if let Some(caller) = &caller {
            self.rules.note(caller);
        }
        #[cfg(feature = "fallback")]
        Arc::clone(&self.judge).leave_in(context);
        let (method, path) = (request.method(), request.uri().path());
        if matches!(*method, Method::GET | Method::HEAD) && path == "/v1/models" {
            // An endpoint lists its one model under a name of its own, so the list is not filtered.
            let Some(model) = self.profile.only_model() else { return Ok(Decision::FilterList) };
            return self.judge(&Target::new(model), caller.as_deref());
        }
        if self.open_routes.iter().any(|(open, at)| open == method && **at == *path) {
            return Ok(Decision::Pass);
        }
        let target = self.profile.target(request).map_err(|error| error.rejection())?;
        context.set_target(&target);
        self.judge(&target, caller.as_deref())
    }

    fn judge(&self, target: &Target<'_>, caller: Option<&Identity>) -> Result<Decision, Rejection> {
        if self.rules.allows(target, caller) {
            return Ok(Decision::Pass);
        }
        Err(Rejection::new(Refusal::Forbidden)
            .with_detail("this model or its provider is not allowed"))
    }
}
