use std::borrow::Cow;

use http::{
    Request,
    header::{CONTENT_TYPE, HOST},
};

use super::{
    entry_key::{EntryKey, Variant},
    hasher::{KeyHasher, KeySecret},
};
use crate::{
    cache::{scope::Scope, settings::CacheKey},
    identity::Identity,
    payload::{DocumentError, Kind, Node, Payload, says_json},
};

/// Everything besides the request that its key depends on.
pub(crate) struct RequestKey<'a> {
    pub(crate) secret: &'a KeySecret,
    pub(crate) namespace: &'a str,
    pub(crate) scope: &'a Scope,
    pub(crate) settings: &'a CacheKey,
}

impl RequestKey<'_> {
    /// Returns the key of a request. Returns `None` if the scope does not know the caller.
    pub(crate) fn of(
        &self,
        request: &Request<Payload>,
        identity: Option<&Identity>,
    ) -> Option<EntryKey> {
        let mut hasher = self.secret.hasher();
        hasher.part(self.namespace.as_bytes());
        self.scope.hash(&mut hasher, request, identity)?;
        hasher.part(&self.settings.epoch.to_be_bytes());
        hasher.part(request.method().as_str().as_bytes());
        hash_host(&mut hasher, request);
        hasher.part(request.uri().path().as_bytes());
        self.hash_query(&mut hasher, request.uri().query());
        for name in &self.settings.headers {
            for value in request.headers().get_all(name) {
                hasher.parts([name.as_str().as_bytes(), value.as_bytes()].into_iter());
            }
        }
        hasher.parts([].into_iter());
        let canonical = self.settings.canonical.as_ref();
        let canonical = canonical.and_then(|canonical| canonical(request));
        let payload = canonical.as_ref().unwrap_or_else(|| request.body());
        let variant = self.hash_payload(&mut hasher, request, payload)?;
        Some((hasher.finish(), variant))
    }

    fn hash_query(&self, hasher: &mut KeyHasher, query: Option<&str>) {
        match &self.settings.query {
            None => hasher.optional(query.map(str::as_bytes)),
            Some(names) => {
                let is_chosen = |parameter: &&str| {
                    let name = parameter.split('=').next().unwrap_or_default();
                    names.iter().any(|chosen| **chosen == *name)
                };
                let parameters: Vec<_> =
                    query.unwrap_or_default().split('&').filter(is_chosen).collect();
                hasher.parts(parameters.iter().map(|parameter| parameter.as_bytes()));
            }
        }
    }

    fn hash_payload(
        &self,
        hasher: &mut KeyHasher,
        request: &Request<Payload>,
        payload: &Payload,
    ) -> Option<Variant> {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        // The usual value and a missing header share entries.
        let content_type = content_type.filter(|value| *value != b"application/json");
        hasher.optional(content_type);
        let document = payload.document();
        match document {
            Ok(document) if says_json(request.headers()) => {
                let root = document.root();
                let (variant, streaming) = variant(root);
                hasher.part(b"json");
                hasher.document(root, |name| {
                    let ignored = &self.settings.ignored_members;
                    streaming.contains(&name) || ignored.iter().any(|other| **other == *name)
                });
                Some(variant)
            }
            Err(DocumentError::Empty) => {
                hasher.part(b"empty");
                Some(Variant::Plain)
            }
            _ => {
                hasher.part(b"bytes");
                hasher.part(payload.bytes()?);
                Some(Variant::Plain)
            }
        }
    }
}

/// Hashes the host: a key is of the whole target (RFC 9111 section 2). HTTP/2 has it in the URI and
/// HTTP/1.1 in a header.
fn hash_host(hasher: &mut KeyHasher, request: &Request<Payload>) {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| request.headers().get(HOST).map(|host| host.as_bytes()));
    let host = host.map(|host| {
        let lower_case = !host.iter().any(u8::is_ascii_uppercase);
        if lower_case { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) }
    });
    hasher.optional(host.as_deref());
}

/// Returns the requested variant and the members that request it. These members are not part of the
/// key. Members with any other value are.
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

/// Returns whether the options request usage. Returns `None` if they have any other member.
fn include_usage(options: Node<'_>) -> Option<bool> {
    if options.kind() != Kind::Object {
        return None;
    }
    let mut usage = false;
    for (name, value) in options.members() {
        match (name, value.as_bool()) {
            (Cow::Borrowed("include_usage"), Some(requested)) => usage = requested,
            _ => return None,
        }
    }
    Some(usage)
}
