//! Which model of which provider a request reaches.

use std::borrow::Cow;

use http::{Method, Request};

use super::{Profile, Provider, Target, TargetError, body, name, profile::Kind, route};
use crate::payload::Payload;

/// The provider that serves `…/models/{model}`.
const HF_INFERENCE: &str = "hf-inference";

impl Profile {
    /// What `request` will reach, as it stands: after whatever edits it.
    ///
    /// # Errors
    ///
    /// When that cannot be told for certain.
    pub fn target<'a>(&'a self, request: &'a Request<Payload>) -> Result<Target<'a>, TargetError> {
        let path = request.uri().path();
        if !route::is_plain(path) {
            return Err(TargetError::Path);
        }
        let post = request.method() == Method::POST;
        let added = post && self.is_added(path);
        match &self.kind {
            Kind::Endpoint(model) => {
                let own = |rest| *route::of_model(rest).model == **model;
                let known =
                    route::is_of_endpoint(path) || path.strip_prefix("/models/").is_some_and(own);
                if added || post && known {
                    Ok(Target::of(&**model))
                } else {
                    Err(TargetError::Route)
                }
            }
            Kind::Server if added || post && route::is_openai(path) => {
                let model = body::required(request)?;
                if name::is_plain(&model) { Ok(Target::of(model)) } else { Err(TargetError::Name) }
            }
            Kind::Server => Err(TargetError::Route),
            Kind::Router
                if added && !route::is_below_name(path) || post && route::is_openai(path) =>
            {
                name::with_suffix(body::required(request)?)
            }
            Kind::Router => routed(path, added, request),
        }
    }

    /// The one model, if it serves one.
    #[cfg(feature = "model-rules")]
    pub(crate) fn only_model(&self) -> Option<&str> {
        match &self.kind {
            Kind::Endpoint(model) => Some(model),
            Kind::Router | Kind::Server => None,
        }
    }

    /// Whether its models are computed by providers.
    #[cfg(feature = "model-rules")]
    pub(crate) const fn has_providers(&self) -> bool {
        matches!(self.kind, Kind::Router)
    }
}

/// The router's routes that begin with a provider.
fn routed<'a>(
    path: &'a str,
    added: bool,
    request: &'a Request<Payload>,
) -> Result<Target<'a>, TargetError> {
    let mut prefixes = ["/hf-inference/models/", "/models/"].into_iter();
    if let Some(rest) = prefixes.find_map(|prefix| path.strip_prefix(prefix)) {
        return of_model(rest, request);
    }
    let (provider, rest) = path
        .strip_prefix('/')
        .and_then(|path| path.split_at_checked(path.find('/')?))
        .ok_or(TargetError::Route)?;
    if provider == "v1" || !name::is_word(provider) {
        return Err(TargetError::Route);
    }
    if added || request.method() == Method::POST && route::is_openai_of_provider(rest) {
        let model = agreed(body::required(request)?, provider)?;
        let plain = name::is_plain(&model);
        let target = Target::of(model).with_provider(Provider::Route(provider));
        return if plain { Ok(target) } else { Err(TargetError::Name) };
    }
    if let Some(model) = body::optional(request)? {
        agreed(model, provider)?;
    }
    Ok(Target::unknown(provider))
}

/// The model before its colon, if what stands behind names the provider once more.
fn agreed<'a>(model: Cow<'a, str>, provider: &str) -> Result<Cow<'a, str>, TargetError> {
    match name::split(model) {
        (model, None) => Ok(model),
        (model, Some(suffix)) if suffix == provider => Ok(model),
        (_, Some(_)) => Err(TargetError::Conflict),
    }
}

/// `{model}`, and what may follow it, of Hugging Face's own inference.
fn of_model<'a>(rest: &'a str, request: &'a Request<Payload>) -> Result<Target<'a>, TargetError> {
    let route::OfModel { model, openai } = route::of_model(rest);
    if request.method() != Method::POST {
        return Err(TargetError::Route);
    }
    if !name::is_of_hub(model) {
        return Err(TargetError::Name);
    }
    // A task may take pictures and sounds, unseen; the routes of OpenAI take JSON with a `model`.
    let named = if openai { body::of_json(request)? } else { body::optional(request)? };
    if let Some(named) = named
        && agreed(named, HF_INFERENCE)? != model
    {
        return Err(TargetError::Conflict);
    }
    Ok(Target::of(model).with_provider(Provider::Named(HF_INFERENCE.into())))
}
