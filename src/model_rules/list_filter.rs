use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Method, Request};

use super::settings::Settings;
use crate::{
    context::RequestContext,
    identity::Identity,
    model::{Provider, ProviderPolicy, Target},
    payload::{Document, Kind, Node, Payload},
};

/// Removes the models that a caller may not use from the list of `GET /v1/models`.
pub(super) struct ListFilter {
    pub(super) settings: Arc<Settings>,
    caller: Option<Arc<Identity>>,
    /// The request is a HEAD, so there is no body to filter.
    pub(super) head_only: bool,
}

impl ListFilter {
    pub(super) fn new(
        settings: Arc<Settings>,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Self {
        let head_only = request.method() == Method::HEAD;
        Self { settings, caller: context.identity(), head_only }
    }

    /// Returns the list for the caller, or `None` when `list` is not a list of models.
    pub(super) fn apply(&self, list: Bytes) -> Option<Bytes> {
        let document = Document::parse(list).ok()?;
        let data = document.root().get("data").filter(|data| data.kind() == Kind::Array)?;
        let bytes = document.bytes();
        let mut filtered = ArrayWriter::new(br#"{"object":"list","data":["#, bytes.len());
        for entry in data.elements() {
            self.push_entry(entry, bytes, &mut filtered);
        }
        Some(filtered.finish(b"]}"))
    }

    /// Adds the allowed part of an entry.
    fn push_entry(&self, entry: Node<'_>, document: &Bytes, list: &mut ArrayWriter) {
        let Some(model) = entry.get("id").and_then(Node::as_str) else { return };
        let target = Target::new(&*model);
        if !self.settings.profile.has_providers() {
            if self.allows(&target) {
                list.push(entry.raw());
            }
            return;
        }
        // When the router chooses, any provider of the model may serve it.
        let chosen = |policy| self.allows(&target.clone().with_provider(Provider::Chosen(policy)));
        if [ProviderPolicy::Fastest, ProviderPolicy::Cheapest, ProviderPolicy::Preferred]
            .into_iter()
            .any(chosen)
        {
            return list.push(entry.raw());
        }
        let Some(providers) = entry.get("providers") else { return };
        let allowed = |provider: &Node<'_>| {
            let name = provider.get("provider").and_then(Node::as_str);
            name.is_some_and(|name| {
                self.allows(&target.clone().with_provider(Provider::Named(name)))
            })
        };
        let mut filtered = ArrayWriter::new(b"[", providers.raw().len());
        let mut count = 0;
        for provider in providers.elements().filter(allowed) {
            filtered.push(provider.raw());
            count += 1;
        }
        if count == 0 {
            return;
        }
        if count == providers.len() {
            return list.push(entry.raw());
        }
        let (outer, inner) = (entry.span(), providers.span());
        let before = document.get(outer.start..inner.start).unwrap_or_default();
        let after = document.get(inner.end..outer.end).unwrap_or_default();
        list.push(&[before, &filtered.finish(b"]"), after].concat());
    }

    fn allows(&self, target: &Target<'_>) -> bool {
        self.settings.rules.allows(target, self.caller.as_deref())
    }
}

/// Writes a JSON array element by element.
struct ArrayWriter {
    written: BytesMut,
    first: bool,
}

impl ArrayWriter {
    fn new(start: &[u8], capacity: usize) -> Self {
        let mut written = BytesMut::with_capacity(start.len() + capacity);
        written.extend_from_slice(start);
        Self { written, first: true }
    }

    fn push(&mut self, element: &[u8]) {
        if !mem::replace(&mut self.first, false) {
            self.written.extend_from_slice(b",");
        }
        self.written.extend_from_slice(element);
    }

    fn finish(mut self, end: &[u8]) -> Bytes {
        self.written.extend_from_slice(end);
        self.written.freeze()
    }
}
