use std::sync::Arc;

use http::Request;

use super::{hasher::KeySecret, invalidation::Tag};
use crate::{context::RequestContext, payload::Payload};

/// Returns the tags of a request. Each of them can invalidate its response.
pub(crate) fn tags(
    secret: &KeySecret,
    request: &Request<Payload>,
    context: &RequestContext,
) -> Arc<[Tag]> {
    let identity = context.identity();
    let identity = identity.as_deref();
    let document = request.body().document().ok();
    // The model that goes upstream may differ from the requested one.
    let sent = document.and_then(|document| document.root().get("model")?.as_str());
    let sent = sent.filter(|sent| Some(&**sent) != context.model());
    let target = context.target().filter(|target| Some(*target) != context.model());
    let tenant = identity.and_then(|identity| Some((identity.issuer(), identity.tenant()?)));
    let models = [context.model(), sent.as_deref(), target].into_iter().flatten();
    let tags = models.map(|model| model_tag(secret, model));
    let tags = tags.chain(context.route().map(|route| route_tag(secret, route)));
    let tags = tags.chain(tenant.map(|(issuer, tenant)| tenant_tag(secret, issuer, tenant)));
    // Collecting an iterator of unknown length would allocate twice or more.
    let mut collected = [Tag(0); MAX_TAGS];
    let mut slots = collected.iter_mut();
    for (tag, slot) in tags.zip(slots.by_ref()) {
        *slot = tag;
    }
    let unused = slots.len();
    collected.get(..MAX_TAGS - unused).unwrap_or_default().into()
}

/// Three models, the route and the tenant.
const MAX_TAGS: usize = 5;

pub(crate) fn model_tag(secret: &KeySecret, model: &str) -> Tag {
    secret.tag([b"model", model.as_bytes()])
}

pub(crate) fn route_tag(secret: &KeySecret, route: &str) -> Tag {
    secret.tag([b"route", route.as_bytes()])
}

pub(crate) fn tenant_tag(secret: &KeySecret, issuer: &str, tenant: &str) -> Tag {
    secret.tag([b"tenant", issuer.as_bytes(), tenant.as_bytes()])
}
