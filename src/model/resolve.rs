//! Finds the target of a request.

use std::borrow::Cow;

use http::{Method, Request};

use super::{
    TargetError, body_model, name,
    profile::{Kind, Profile},
    route,
    target::{Provider, Target},
};
#[cfg(feature = "hf")]
use crate::payload::DocumentError;
use crate::payload::Payload;

/// The provider that serves `…/models/{model}`.
const HF_INFERENCE: &str = "hf-inference";

impl Profile {
    /// Returns the target of `request`. Call it after every edit of the request.
    ///
    /// # Errors
    ///
    /// Returns a [`TargetError`] when the target is not certain.
    pub fn target<'a>(&'a self, request: &'a Request<Payload>) -> Result<Target<'a>, TargetError> {
        let path = request.uri().path();
        if !route::is_plain(path) {
            return Err(TargetError::Path);
        }
        let post = request.method() == Method::POST;
        let added = post && self.is_added(path);
        match &self.kind {
            Kind::Endpoint(model) => {
                let own = |rest| *route::model_route(rest).model == **model;
                let known = route::is_of_endpoint(path)
                    || self.is_function(path)
                    || path.strip_prefix("/models/").is_some_and(own);
                if added || post && known {
                    Ok(Target::new(&**model))
                } else {
                    Err(TargetError::Route)
                }
            }
            Kind::Server if added || post && route::is_openai(path) => {
                let model = body_model::required(request)?;
                if name::is_plain(&model) { Ok(Target::new(model)) } else { Err(TargetError::Name) }
            }
            Kind::Server => Err(TargetError::Route),
            Kind::Router
                if added && !route::is_below_name(path) || post && route::is_openai(path) =>
            {
                name::with_suffix(body_model::required(request)?)
            }
            Kind::Router => on_router(path, added, request),
        }
    }

    /// Returns the target of `request`, or `None` when it surely names no model. The error is a target
    /// that is not certain.
    #[cfg(feature = "hf")]
    pub(crate) fn certain_target<'a>(
        &'a self,
        request: &'a Request<Payload>,
    ) -> Result<Option<Target<'a>>, TargetError> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match self.target(request) {
            Ok(target) if target.model.is_some() => Ok(Some(target)),
            _ if is_read => Ok(None),
            Ok(_)
            | Err(
                TargetError::Missing | TargetError::Route | TargetError::Body(DocumentError::Empty),
            ) => {
                // Servers have routes of their own, such as `/chat/completions` of llama.cpp.
                let named = body_model::on_unknown_route(request)?.is_some();
                let is_certain = !named && route::ambiguous(request.uri().path()).is_none();
                if is_certain { Ok(None) } else { Err(TargetError::Route) }
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the model of an upstream that serves only one.
    #[cfg(any(feature = "fallback", feature = "model-rules"))]
    pub(crate) fn only_model(&self) -> Option<&str> {
        match &self.kind {
            Kind::Endpoint(model) => Some(model),
            Kind::Router | Kind::Server => None,
        }
    }

    /// Returns whether the upstream's models run at providers.
    #[cfg(feature = "model-rules")]
    pub(crate) const fn has_providers(&self) -> bool {
        matches!(self.kind, Kind::Router)
    }
}

/// Returns the target of a route of the router that begins with a provider.
fn on_router<'a>(
    path: &'a str,
    added: bool,
    request: &'a Request<Payload>,
) -> Result<Target<'a>, TargetError> {
    let mut prefixes = ["/hf-inference/models/", "/models/"].into_iter();
    if let Some(rest) = prefixes.find_map(|prefix| path.strip_prefix(prefix)) {
        return on_hf_inference(rest, request);
    }
    let (provider, rest) = path
        .strip_prefix('/')
        .and_then(|path| path.split_at_checked(path.find('/')?))
        .ok_or(TargetError::Route)?;
    if provider == "v1" || !name::is_word(provider) {
        return Err(TargetError::Route);
    }
    if added || request.method() == Method::POST && route::is_openai_of_provider(rest) {
        let model = without_suffix(body_model::required(request)?, provider)?;
        let plain = name::is_plain(&model);
        let target = Target::new(model).with_provider(Provider::Route(provider));
        return if plain { Ok(target) } else { Err(TargetError::Name) };
    }
    if let Some(model) = body_model::optional(request)? {
        without_suffix(model, provider)?;
    }
    Ok(Target::unknown(provider))
}

/// Returns the model before its colon. The suffix may only repeat the provider.
fn without_suffix<'a>(model: Cow<'a, str>, provider: &str) -> Result<Cow<'a, str>, TargetError> {
    match name::split(model) {
        (model, None) => Ok(model),
        (model, Some(suffix)) if suffix == provider => Ok(model),
        (_, Some(_)) => Err(TargetError::Conflict),
    }
}

/// Returns the target of a route of HF Inference. It begins with `{model}`.
fn on_hf_inference<'a>(
    rest: &'a str,
    request: &'a Request<Payload>,
) -> Result<Target<'a>, TargetError> {
    let route::ModelRoute { model, openai } = route::model_route(rest);
    if request.method() != Method::POST {
        return Err(TargetError::Route);
    }
    if !name::is_of_hub(model) {
        return Err(TargetError::Name);
    }
    // A task may take pictures and sounds. The routes of OpenAI take JSON with a `model`.
    let named = if openai { body_model::of_json(request)? } else { body_model::optional(request)? };
    if let Some(named) = named
        && without_suffix(named, HF_INFERENCE)? != model
    {
        return Err(TargetError::Conflict);
    }
    Ok(Target::new(model).with_provider(Provider::Named(HF_INFERENCE.into())))
}
