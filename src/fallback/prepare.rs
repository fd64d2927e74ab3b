//! The request as a target gets it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, Request};

use super::{
    settings::Members,
    target::{Target, TargetModel},
};
#[cfg(feature = "model-rules")]
use crate::model::Judge;
use crate::{
    context::RequestContext,
    model::{self, BodyForm, OutputLimit, Profile, Provider},
    payload::{self, Document, DocumentError, EditError, Kind, Literal, Payload},
};

/// Why a target does not get a request.
// In the order of their weight for the rejection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Skip {
    /// The model that the request would reach there is not certain.
    Route,
    /// The request would reach another model than the one of the target.
    Model,
    /// The body has no form in which the name of the model or the output limit can be changed.
    Body,
    /// The memory limit of bodies has no room for the changed one.
    Memory,
    /// A model rule does not allow the caller this model.
    Rules,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "the profile of its stage does not know the model of this request",
            Self::Model => "the request would reach another model than Target::model names",
            Self::Body => "the body has no known form in which Target::model can be written",
            Self::Memory => "the memory limit of bodies has no room for the changed body",
            Self::Rules => "the model rules do not allow the caller this model",
        })
    }
}

/// A request for a target.
pub(super) struct Prepared {
    pub(super) request: Request<Payload>,
    /// The model that it reaches. `None` for the request as the client sent it.
    pub(super) reached: Option<Reached>,
}

/// The model that a request reaches at a target.
pub(super) struct Reached {
    pub(super) text: Box<str>,
    // `None` on an own route of a provider, which borrows its name from the request.
    pub(super) target: Option<Arc<model::Target<'static>>>,
}

/// How a request comes to a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// To the first choice: as the client sent it, unless the target has a model of its own.
    First,
    /// To another target, with its names.
    Later,
}

/// Prepares a request for a target, or tells why the target does not get it.
pub(super) fn prepare(
    request: Request<Payload>,
    target: &Target,
    place: Place,
    members: &Members,
    context: &RequestContext,
) -> Result<Prepared, Skip> {
    let profile = target.stage.kind();
    let is_unchanged = place == Place::First && target.model.is_none();
    let request = if is_unchanged { request } else { changed(request, target, members)? };
    let must_be_known = !is_unchanged && *request.method() == Method::POST;
    // Rules that have judged no target have let a list of models or an open route pass.
    let is_judged = context.target().is_some();
    if !must_be_known && !is_judged {
        return Ok(Prepared { request, reached: None });
    }
    let reached = match profile.target(&request) {
        Ok(reached) => {
            if let Some(model) = &target.model
                && !is_reached(&model.name, &reached, profile)
            {
                return Err(Skip::Model);
            }
            let is_as_judged = is_unchanged && says(&reached, context.target());
            if !is_as_judged && !is_allowed(context, &reached) {
                return Err(Skip::Rules);
            }
            (!is_as_judged).then(|| Reached::of(&reached))
        }
        Err(_) if is_unchanged && !has_rules(context) => None,
        Err(_) => return Err(Skip::Route),
    };
    Ok(Prepared { request, reached })
}

impl Reached {
    fn of(target: &model::Target<'_>) -> Self {
        let provider = match &target.provider {
            Provider::Own => Some(Provider::Own),
            Provider::Named(name) => Some(Provider::Named(name.clone().into_owned().into())),
            Provider::Chosen(policy) => Some(Provider::Chosen(*policy)),
            Provider::Route(_) => None,
        };
        let owned = provider.zip(target.model.clone()).map(|(provider, model)| {
            Arc::new(model::Target::new(model.into_owned()).with_provider(provider))
        });
        Self { text: target.into(), target: owned }
    }
}

/// Returns whether the request reaches the model of a target.
fn is_reached(name: &str, reached: &model::Target<'_>, profile: &Profile) -> bool {
    // An endpoint ignores the name in the body.
    profile.only_model().is_some()
        || reached.model.as_deref() == Some(name)
        || says(reached, Some(name))
}

/// Returns whether a target is displayed as `text`.
fn says(target: &model::Target<'_>, text: Option<&str>) -> bool {
    let (Some(text), Some(model)) = (text, target.model.as_deref()) else { return false };
    match (text.strip_prefix(model), target.provider.as_str()) {
        (Some(""), None) => true,
        (Some(rest), Some(provider)) => rest.strip_prefix(':') == Some(provider),
        _ => false,
    }
}

#[cfg(feature = "model-rules")]
fn is_allowed(context: &RequestContext, target: &model::Target<'_>) -> bool {
    Judge::all_allow(context, target)
}

#[cfg(not(feature = "model-rules"))]
fn is_allowed(_context: &RequestContext, _target: &model::Target<'_>) -> bool {
    true
}

#[cfg(feature = "model-rules")]
fn has_rules(context: &RequestContext) -> bool {
    context.has_judges()
}

#[cfg(not(feature = "model-rules"))]
fn has_rules(_context: &RequestContext) -> bool {
    false
}

/// Writes the names of the target into the body.
fn changed(
    request: Request<Payload>,
    target: &Target,
    members: &Members,
) -> Result<Request<Payload>, Skip> {
    let body = match request.body().document() {
        Ok(document) => {
            let path = request.uri().path();
            let edited =
                edited(document, target.stage.kind(), path, target.model.as_ref(), members);
            edited?
        }
        // A `GET` has no names.
        Err(DocumentError::Empty) if *request.method() != Method::POST => None,
        Err(_) => return Err(Skip::Body),
    };
    let Some(body) = body else { return Ok(request) };
    let (mut parts, mut payload) = request.into_parts();
    payload::replace(&mut parts, &mut payload, body).map_err(|_exhausted| Skip::Memory)?;
    Ok(Request::from_parts(parts, payload))
}

/// Returns the body with the names of the target. `None` when it stays as it is.
fn edited(
    document: &Document,
    profile: &Profile,
    path: &str,
    model: Option<&TargetModel>,
    members: &Members,
) -> Result<Option<Bytes>, Skip> {
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Skip::Body);
    }
    let form = profile.form(path);
    let limit = if form == BodyForm::Chat { moved_limit(document, profile)? } else { None };
    let mut edits = document.edit();
    if let Some(model) = model {
        let is_named = root.get("model").is_some_and(|name| !name.is_null());
        if is_named || has_model(form) {
            edits.set(&members.model, &model.literal).map_err(skip)?;
        } else if profile.only_model().is_none() {
            return Err(Skip::Body);
        }
    }
    let (own, other) = match profile.limit_of_chats() {
        OutputLimit::MaxCompletionTokens => (&members.max_completion_tokens, &members.max_tokens),
        _ => (&members.max_tokens, &members.max_completion_tokens),
    };
    if let Some(limit) = &limit {
        edits.remove(other).map_err(skip)?;
        edits.set(own, limit).map_err(skip)?;
    }
    let streams = matches!(form, BodyForm::Chat | BodyForm::Completion);
    if streams && !profile.requests_usage() && root.get("stream_options").is_some() {
        edits.remove(&members.stream_options).map_err(skip)?;
    }
    Ok(edits.finish())
}

/// Returns the output limit of a chat that has it under the other name. With both, the smaller one.
fn moved_limit(document: &Document, profile: &Profile) -> Result<Option<Literal>, Skip> {
    let (own, other) = match profile.limit_of_chats() {
        OutputLimit::MaxCompletionTokens => ("max_completion_tokens", "max_tokens"),
        _ => ("max_tokens", "max_completion_tokens"),
    };
    let root = document.root();
    let value = |name| root.get(name).filter(|value| !value.is_null());
    let Some(moved) = value(other) else { return Ok(None) };
    let moved = moved.as_u64().ok_or(Skip::Body)?;
    let kept = match value(own) {
        Some(own) => moved.min(own.as_u64().ok_or(Skip::Body)?),
        None => moved,
    };
    Ok(Some(Literal::from(kept)))
}

/// Returns whether bodies of a form name their model.
const fn has_model(form: BodyForm) -> bool {
    matches!(
        form,
        BodyForm::Chat
            | BodyForm::Completion
            | BodyForm::Responses
            | BodyForm::Messages
            | BodyForm::Embeddings
            | BodyForm::Media
    )
}

fn skip(_error: EditError) -> Skip {
    Skip::Body
}
