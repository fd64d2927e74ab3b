//! What a request asks of the cache.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{
    HeaderName, Method, Request,
    header::{
        AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE, UPGRADE,
    },
};

use super::{
    Scope, Unauthorized,
    control::Control,
    generation::Tag,
    key::{At, Keys, Making, Variant},
    settings::Settings,
};
use crate::{
    context::RequestContext,
    identity::Identity,
    payload::{DocumentError, Kind, Node, Payload, says_json},
};

/// In a request that goes on for several: a cache further in, the same one maybe, would wait for
/// itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flying;

/// A request that a cache may answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) at: At,
    /// It is for a chat, whose variants can be told as one another.
    pub(super) chat: bool,
    /// For how long its answer may be kept; `None` when it is only shared while it is under way.
    pub(super) ttl: Option<Duration>,
    /// What it asks for by `cache-control`, of what it may.
    pub(super) control: Control,
    /// It asked for what it may not.
    pub(super) ignored: bool,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Asked {
    Cache(Ask),
    Bypass,
    /// It asks for what it may not.
    Forbidden,
}

impl Settings {
    pub(super) fn ask(&self, request: &Request<Payload>, context: &RequestContext) -> Asked {
        let plain = matches!(*request.method(), Method::GET | Method::POST)
            && !PARTIAL.iter().any(|name| request.headers().contains_key(name))
            && !request.body().is_streamed()
            && request.extensions().get::<Flying>().is_none()
            && !is_grpc(request);
        let ttl = self.ttl(context);
        let ttl = (plain && self.cacheable.is(request))
            .then_some(ttl)
            .filter(|ttl| !ttl.is_zero() || self.ttl.from_answer);
        if !plain || ttl.is_none() && !self.coalesce_all {
            return Asked::Bypass;
        }
        let identity = context.identity();
        let identity = identity.as_deref();
        // Whoever let it in has judged it when it came; what it may no longer have is not given.
        let expired = identity
            .and_then(Identity::expires_at)
            .is_some_and(|expires_at| expires_at <= self.clock.wall());
        // RFC 9111 section 3.5: credentials that nobody here has understood may change the answer.
        let stranger = identity.is_none()
            && matches!(self.scope, Scope::Shared)
            && request.headers().contains_key(AUTHORIZATION);
        if expired || stranger {
            return Asked::Bypass;
        }

        let asked = Control::of(request.headers());
        let asks = asked != Control::default();
        let may = identity.zip(self.may_control.as_ref()).is_some_and(|(who, may)| may(who));
        if asks && !may && self.unauthorized == Unauthorized::Refuse {
            return Asked::Forbidden;
        }
        let control = if may { asked } else { Control::default() };
        if control.no_store {
            return Asked::Bypass;
        }
        let Some(at) = self.key(request, identity) else { return Asked::Bypass };
        Asked::Cache(Ask {
            at,
            chat: request.uri().path().ends_with("/chat/completions"),
            ttl,
            control,
            ignored: asks && !may && self.unauthorized == Unauthorized::Warn,
        })
    }

    /// Where the answer is kept. `None` when it is not known who shares it.
    pub(super) fn key(
        &self,
        request: &Request<Payload>,
        identity: Option<&Identity>,
    ) -> Option<At> {
        let mut making = self.keys.begin();
        making.part(self.namespace.as_bytes());
        self.scope.put(&mut making, request, identity)?;
        making.part(&self.epoch.to_be_bytes());
        making.part(request.method().as_str().as_bytes());
        put_host(&mut making, request);
        making.part(request.uri().path().as_bytes());
        self.put_query(&mut making, request.uri().query());
        for name in &self.fields {
            // None, where there is none.
            for value in request.headers().get_all(name) {
                making.parts([name.as_str().as_bytes(), value.as_bytes()].into_iter());
            }
        }
        making.parts([].into_iter());
        let canonical = self.canonical.as_ref().and_then(|canonical| canonical(request));
        let payload = canonical.as_ref().unwrap_or_else(|| request.body());
        let variant = self.put_payload(&mut making, request, payload)?;
        Some((making.finish(), variant))
    }

    fn put_query(&self, making: &mut Making, query: Option<&str>) {
        match &self.query {
            None => making.optional(query.map(str::as_bytes)),
            Some(names) => {
                let is_chosen = |member: &&str| {
                    let name = member.split('=').next().unwrap_or_default();
                    names.iter().any(|chosen| **chosen == *name)
                };
                let members: Vec<_> =
                    query.unwrap_or_default().split('&').filter(is_chosen).collect();
                making.parts(members.iter().map(|member| member.as_bytes()));
            }
        }
    }

    fn put_payload(
        &self,
        making: &mut Making,
        request: &Request<Payload>,
        payload: &Payload,
    ) -> Option<Variant> {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        // The one that everybody sends makes no difference.
        let content_type = content_type.filter(|value| *value != b"application/json");
        making.optional(content_type);
        let document = payload.document();
        match document {
            Ok(document) if says_json(request.headers()) => {
                let root = document.root();
                let (variant, streaming) = variant(root);
                making.part(b"json");
                making.document(root, |name| {
                    streaming.contains(&name) || self.ignored.iter().any(|other| **other == *name)
                });
                Some(variant)
            }
            Err(DocumentError::Empty) => {
                making.part(b"empty");
                Some(Variant::Plain)
            }
            _ => {
                making.part(b"bytes");
                making.part(payload.bytes()?);
                Some(Variant::Plain)
            }
        }
    }
}

/// RFC 9111 section 2: a key is of the whole target. Over HTTP/2 the host comes with it, over HTTP/1.1 in
/// a field.
fn put_host(making: &mut Making, request: &Request<Payload>) {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| request.headers().get(HOST).map(|host| host.as_bytes()));
    let host = host.map(|host| {
        let plain = !host.iter().any(u8::is_ascii_uppercase);
        if plain { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) }
    });
    making.optional(host.as_deref());
}

/// Fields that ask for a part of an answer, or for something that is none.
const PARTIAL: [HeaderName; 7] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE];

fn is_grpc(request: &Request<Payload>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    let start = content_type.and_then(|value| value.get(..b"application/grpc".len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

/// The variant that is asked for, and the members that say so, which are no part of the key. Where
/// they say anything else, they are.
fn variant(root: Node<'_>) -> (Variant, &'static [&'static str]) {
    let stream = match root.get("stream") {
        None => false,
        Some(stream) => match stream.as_bool() {
            Some(stream) => stream,
            None if stream.is_null() => false,
            None => return (Variant::Plain, &[]),
        },
    };
    let options = root.get("stream_options").filter(|options| !options.is_null());
    let usage = match options {
        None => Some(false),
        Some(options) => include_usage(options),
    };
    match (stream, usage) {
        (false, _) => (Variant::Plain, if usage.is_some() { BOTH } else { &["stream"] }),
        (true, Some(false)) => (Variant::Stream, BOTH),
        (true, Some(true)) => (Variant::StreamWithUsage, BOTH),
        (true, None) => (Variant::Stream, &["stream"]),
    }
}

const BOTH: &[&str] = &["stream", "stream_options"];

/// Whether the options ask for usage, if they say nothing else.
fn include_usage(options: Node<'_>) -> Option<bool> {
    if options.kind() != Kind::Object {
        return None;
    }
    let mut usage = false;
    for (name, value) in options.members() {
        match (name, value.as_bool()) {
            (Cow::Borrowed("include_usage"), Some(asked)) => usage = asked,
            _ => return None,
        }
    }
    Some(usage)
}

/// By what else the answer can be invalidated.
pub(super) fn tags(
    keys: &Keys,
    request: &Request<Payload>,
    context: &RequestContext,
) -> Arc<[Tag]> {
    let identity = context.identity();
    let identity = identity.as_deref();
    let document = request.body().document().ok();
    // What goes upstream, where that is not what was asked for.
    let sent = document.and_then(|document| document.root().get("model")?.as_str());
    let sent = sent.filter(|sent| Some(&**sent) != context.model());
    let target = context.target().filter(|target| Some(*target) != context.model());
    let tenant = identity.and_then(|identity| Some((identity.issuer(), identity.tenant()?)));
    let models = [context.model(), sent.as_deref(), target].into_iter().flatten();
    let tags = models.map(|model| model_tag(keys, model));
    let tags = tags.chain(context.route().map(|route| route_tag(keys, route)));
    let tags = tags.chain(tenant.map(|(issuer, tenant)| tenant_tag(keys, issuer, tenant)));
    // Gathered here: an iterator of unknown length takes two allocations and more.
    let mut gathered = [Tag(0); MOST_TAGS];
    let mut places = gathered.iter_mut();
    for (tag, place) in tags.zip(places.by_ref()) {
        *place = tag;
    }
    let left = places.len();
    gathered.get(..MOST_TAGS - left).unwrap_or_default().into()
}

/// Three models, the route and the tenant.
const MOST_TAGS: usize = 5;

pub(super) fn model_tag(keys: &Keys, model: &str) -> Tag {
    keys.tag([b"model", model.as_bytes()])
}

pub(super) fn route_tag(keys: &Keys, route: &str) -> Tag {
    keys.tag([b"route", route.as_bytes()])
}

pub(super) fn tenant_tag(keys: &Keys, issuer: &str, tenant: &str) -> Tag {
    keys.tag([b"tenant", issuer.as_bytes(), tenant.as_bytes()])
}
