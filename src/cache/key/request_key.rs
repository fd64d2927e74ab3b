use std::borrow::Cow;

use http::{HeaderValue, Request};

use super::{
    entry_key::{EntryKey, Variant},
    hasher::{KeyHasher, KeySecret},
    parts::KeyParts,
    request_headers::RequestHeaders,
    spelling::{Spelling, SpellingSecret},
};
use crate::{
    cache::{scope::ScopeName, settings::CacheKey},
    payload::{DocumentError, Kind, Node, Payload, says_json},
};

/// A request and everything else that its key depends on.
pub(crate) struct RequestKey<'a> {
    pub(crate) request: &'a Request<Payload>,
    pub(crate) headers: &'a RequestHeaders<'a>,
    pub(crate) scope: &'a ScopeName<'a>,
    pub(crate) namespace: &'a str,
    pub(crate) settings: &'a CacheKey,
}

impl RequestKey<'_> {
    /// Returns the key. Returns `None` for a streamed body.
    pub(crate) fn entry_key(&self, secret: &KeySecret) -> Option<EntryKey> {
        let mut hasher = secret.hasher();
        hasher.part(self.namespace.as_bytes());
        self.scope.put(&mut hasher);
        hasher.part(&self.settings.epoch.to_be_bytes());
        self.put_head(&mut hasher);
        let canonical = self.settings.canonical.as_ref();
        let canonical = canonical.and_then(|canonical| canonical(self.request));
        let payload = canonical.as_ref().unwrap_or_else(|| self.request.body());
        let variant = self.hash_payload(&mut hasher, payload)?;
        Some((hasher.finish(), variant))
    }

    /// Returns the spelling of a JSON request, which determines its key under the settings of the
    /// secret. Returns `None` for any other request.
    ///
    /// The namespace and the epoch belong to the settings.
    pub(crate) fn spelling(&self, secret: &SpellingSecret) -> Option<Spelling> {
        let content_type = self.headers.content_type.filter(|_| self.is_json())?;
        let payload = self.request.body();
        // The bounds of a document are not part of the spelling.
        if self.settings.canonical.is_some() || payload.document().is_err() {
            return None;
        }
        let mut hasher = secret.hasher();
        self.scope.put(&mut hasher);
        self.put_head(&mut hasher);
        hasher.optional(Some(content_type.as_bytes()).filter(|value| *value != USUAL_TYPE));
        hasher.part(payload.bytes()?);
        Some(hasher.finish())
    }

    /// Puts everything of the request but its body.
    fn put_head(&self, parts: &mut impl KeyParts) {
        parts.part(self.request.method().as_str().as_bytes());
        self.put_host(parts);
        parts.part(self.request.uri().path().as_bytes());
        self.put_query(parts);
        for (name, value) in self.headers.keyed() {
            parts.parts([name.as_str().as_bytes(), value.as_bytes()].into_iter());
        }
        parts.count(0);
    }

    /// Puts the host: a key is of the whole target (RFC 9111 section 2). HTTP/2 has it in the URI and
    /// HTTP/1.1 in a header.
    fn put_host(&self, parts: &mut impl KeyParts) {
        let authority = self.request.uri().authority();
        let authority = authority.map(|authority| authority.as_str().as_bytes());
        let host = authority.or_else(|| self.headers.host.map(HeaderValue::as_bytes));
        let host = host.map(|host| {
            let lower_case = !host.iter().any(u8::is_ascii_uppercase);
            if lower_case { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) }
        });
        parts.optional(host.as_deref());
    }

    fn put_query(&self, parts: &mut impl KeyParts) {
        let query = self.request.uri().query();
        match &self.settings.query {
            None => parts.optional(query.map(str::as_bytes)),
            Some(names) => {
                let is_chosen = |parameter: &&str| {
                    let name = parameter.split('=').next().unwrap_or_default();
                    names.iter().any(|chosen| **chosen == *name)
                };
                let parameters: Vec<_> =
                    query.unwrap_or_default().split('&').filter(is_chosen).collect();
                parts.parts(parameters.iter().map(|parameter| parameter.as_bytes()));
            }
        }
    }

    fn hash_payload(&self, hasher: &mut KeyHasher, payload: &Payload) -> Option<Variant> {
        let content_type = self.headers.content_type.map(HeaderValue::as_bytes);
        // The usual value and a missing header share entries.
        let content_type = content_type.filter(|value| *value != USUAL_TYPE);
        hasher.optional(content_type);
        let document = payload.document();
        match document {
            Ok(document) if self.is_json() => {
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

    fn is_json(&self) -> bool {
        let usual = |value: &HeaderValue| value.as_bytes() == USUAL_TYPE;
        self.headers.has_one_content_type
            && (self.headers.content_type.is_some_and(usual) || says_json(self.headers.map()))
    }
}

const USUAL_TYPE: &[u8] = b"application/json";

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
