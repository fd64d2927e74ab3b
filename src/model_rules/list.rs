//! The answer of `GET /v1/models`, and what of it a caller gets.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
    header::{
        ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, ETAG,
        EXPIRES, LAST_MODIFIED, LINK, TRAILER, TRANSFER_ENCODING,
    },
    response::Parts,
};
use http_body::Body;

use super::layer::Settings;
use crate::{
    body::{ResponseBody, content_length, is_coded, remove_digests},
    context::RequestContext,
    identity::Identity,
    memory_limit::MemoryPermit,
    model::{Policy, Provider, Target},
    payload::{CollectedBody, Document, Kind, Node, Payload},
    rejection::{Refusal, Rejection},
    yield_now,
};

/// Who asked for a list.
pub(super) struct List {
    settings: Arc<Settings>,
    caller: Option<Arc<Identity>>,
    head_only: bool,
}

/// What becomes of an answer.
pub(super) enum Accepted<R> {
    Whole(Response<ResponseBody<R>>),
    Reading(Reading<R>),
}

impl List {
    pub(super) fn new(
        settings: Arc<Settings>,
        request: &Request<Payload>,
        context: &RequestContext,
    ) -> Self {
        let head_only = request.method() == Method::HEAD;
        Self { settings, caller: context.identity(), head_only }
    }

    pub(super) fn accept<R: Body>(self, response: Response<R>) -> Result<Accepted<R>, Rejection> {
        if !response.status().is_success() {
            return Ok(Accepted::Whole(response.map(ResponseBody::inner)));
        }
        let (mut parts, body) = response.into_parts();
        let announced = content_length(&parts.headers).max(Some(body.size_hint().lower()));
        let coded = is_coded(&parts.headers);
        fit_fields(&mut parts.headers);
        if self.head_only {
            let response = Response::from_parts(parts, ResponseBody::full(Bytes::new()));
            return Ok(Accepted::Whole(response));
        }
        if coded || announced > Some(self.settings.list_limit) {
            return Err(unreadable());
        }
        let memory = self.settings.memory.permit();
        let (read, length) = (CollectedBody::default(), 0);
        let announced = announced.unwrap_or(0);
        let (parts, body) = (Some(parts), Box::pin(body));
        let reading = Reading { list: self, parts, body, read, announced, length, memory };
        Ok(Accepted::Reading(reading))
    }

    /// The list as the caller may see it; `None` when it is none.
    fn filtered(&self, read: Bytes) -> Option<Bytes> {
        let document = Document::parse(read).ok()?;
        let data = document.root().get("data")?;
        let bytes = document.bytes();
        let mut list = Joined::new(br#"{"object":"list","data":["#, bytes.len());
        let array = data.kind() == Kind::Array;
        for entry in data.elements().filter(|_| array) {
            self.entry(entry, bytes, &mut list);
        }
        array.then(|| list.ended(b"]}"))
    }

    /// Adds what is left of an entry to the list.
    fn entry(&self, entry: Node<'_>, document: &Bytes, list: &mut Joined) {
        let Some(model) = entry.get("id").and_then(Node::as_str) else { return };
        let target = Target::of(&*model);
        if !self.settings.profile.has_providers() {
            if self.allows(&target) {
                list.add(entry.raw());
            }
            return;
        }
        // Whoever lets the router choose may end at any of the model's providers.
        let chosen = |policy| self.allows(&target.clone().with_provider(Provider::Chosen(policy)));
        if [Policy::Fastest, Policy::Cheapest, Policy::Preferred].into_iter().any(chosen) {
            return list.add(entry.raw());
        }
        let Some(providers) = entry.get("providers") else { return };
        let allowed = |provider: &Node<'_>| {
            let name = provider.get("provider").and_then(Node::as_str);
            name.is_some_and(|name| {
                self.allows(&target.clone().with_provider(Provider::Named(name)))
            })
        };
        let mut kept = Joined::new(b"[", providers.raw().len());
        let mut count = 0;
        for provider in providers.elements().filter(allowed) {
            kept.add(provider.raw());
            count += 1;
        }
        if count == 0 {
            return;
        }
        if count == providers.len() {
            return list.add(entry.raw());
        }
        let (whole, inner) = (entry.span(), providers.span());
        let before = document.get(whole.start..inner.start).unwrap_or_default();
        let after = document.get(inner.end..whole.end).unwrap_or_default();
        list.add(&[before, &kept.ended(b"]"), after].concat());
    }

    fn allows(&self, target: &Target<'_>) -> bool {
        self.settings.rules.allows(target, self.caller.as_deref())
    }
}

/// Fields that speak of the whole list, or let others keep what is one caller's.
fn fit_fields(headers: &mut HeaderMap) {
    for name in [
        ACCEPT_RANGES,
        AGE,
        CONTENT_LENGTH,
        CONTENT_LOCATION,
        CONTENT_RANGE,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
        LINK,
        TRAILER,
        TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
    remove_digests(headers);
    for name in ["cdn-cache-control", "surrogate-control", "x-total-count"] {
        headers.remove(HeaderName::from_static(name));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn unreadable() -> Rejection {
    Rejection::new(Refusal::UpstreamUnavailable)
        .with_detail("the upstream's list of models cannot be read")
}

/// An array that is written element by element.
struct Joined {
    written: BytesMut,
    first: bool,
}

impl Joined {
    fn new(start: &[u8], room: usize) -> Self {
        let mut written = BytesMut::with_capacity(start.len() + room);
        written.extend_from_slice(start);
        Self { written, first: true }
    }

    fn add(&mut self, element: &[u8]) {
        if !mem::replace(&mut self.first, false) {
            self.written.extend_from_slice(b",");
        }
        self.written.extend_from_slice(element);
    }

    fn ended(mut self, end: &[u8]) -> Bytes {
        self.written.extend_from_slice(end);
        self.written.freeze()
    }
}

// === impl Reading ===

/// A list that is being read.
pub(super) struct Reading<R> {
    list: List,
    parts: Option<Parts>,
    body: Pin<Box<R>>,
    read: CollectedBody,
    // At least as many bytes will come, if that is true.
    announced: u64,
    length: u64,
    memory: MemoryPermit,
}

impl<R: Body<Data = Bytes>> Reading<R> {
    /// Frames that are taken before others get their turn.
    const AT_ONCE: usize = 64;

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<R>>, Rejection>> {
        for _ in 0..Self::AT_ONCE {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(self.finish()),
                Some(Err(_)) => return Poll::Ready(Err(unreadable())),
                Some(Ok(frame)) => {
                    // Its trailers speak of the whole list.
                    let data = frame.into_data().unwrap_or_default();
                    self.length = self.length.saturating_add(data.len() as u64);
                    if self.length > self.list.settings.list_limit {
                        return Poll::Ready(Err(unreadable()));
                    }
                    self.read.push(data, self.announced, &mut self.memory)?;
                }
            }
        }
        yield_now::wake_later(cx);
        Poll::Pending
    }

    fn finish(&mut self) -> Result<Response<ResponseBody<R>>, Rejection> {
        let read = mem::take(&mut self.read).into_bytes(&mut self.memory);
        // What is left of it is written into as much room again, and is all that stays.
        let room = read.len();
        self.memory.grow(room)?;
        let list = self.list.filtered(read).ok_or_else(unreadable)?;
        let memory = self.memory.split(room);
        self.memory.shrink(self.memory.bytes());
        let mut parts = self.parts.take().ok_or_else(unreadable)?;
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(list.len()));
        Ok(Response::from_parts(parts, ResponseBody::full(memory.guard(list))))
    }
}
