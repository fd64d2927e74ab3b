//! What goes with a request from the call to the head of its answer.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{AGE, DATE, WARNING},
};

use super::{
    CacheLayer, ResponseBody,
    body::{Adoption, Reading, Role},
    counts::{Counters, Event},
    entry::Entry,
    flight::Reader,
    head::{Chunk, Head},
    settings::ttl_of,
    status::{CACHE_STATUS, Forward, Outcome, is_failure},
};
use crate::{
    body,
    context::{CacheOutcome, RequestContext},
};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) layer: CacheLayer,
    pub(super) context: RequestContext,
    pub(super) counters: Arc<Counters>,
    pub(super) why: Forward,
    /// What may stand in for an error.
    pub(super) fallback: Option<Entry>,
    /// The caller is told that it asked for what it may not.
    pub(super) warned: bool,
}

impl Ticket {
    pub(super) fn new(layer: &CacheLayer, context: RequestContext) -> Self {
        Self {
            layer: layer.clone(),
            counters: layer.counters(&context),
            context,
            why: Forward::Miss,
            fallback: None,
            warned: false,
        }
    }

    pub(super) fn outcome(&self, outcome: CacheOutcome, event: Event) {
        self.context.set_cache(outcome);
        self.counters.count(event);
    }

    /// An answer that was kept.
    pub(super) fn hit<R>(&self, entry: Entry) -> Response<ResponseBody<R>> {
        self.outcome(CacheOutcome::Hit, Event::Hit);
        self.counters.add_bytes(entry.length() as u64);
        self.counters.saved(entry.origin.cost);
        let now = self.layer.now();
        // With room for those that tell of the cache.
        let mut headers = entry.headers.to_map(3);
        let settings = self.layer.settings();
        if settings.is_shown() {
            headers.insert(AGE, HeaderValue::from(entry.age(now).as_secs()));
        } else {
            // It tells as much.
            headers.remove(DATE);
        }
        let outcome = Outcome::Hit { ttl: ttl_of(&entry, now) };
        self.tell(&mut headers, outcome);
        let status = entry.status;
        let mut response = Response::new(ResponseBody::replay(entry));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// An answer of the inner service that nobody shares.
    pub(super) fn pass<R>(&self, mut response: Response<R>) -> Response<ResponseBody<R>> {
        let why = match self.context.cache() {
            Some(CacheOutcome::Bypass) => Forward::Bypass,
            _ => self.why,
        };
        let outcome = Outcome::Forwarded { why, stored: false, collapsed: false };
        self.tell(response.headers_mut(), outcome);
        response.map(|body| ResponseBody::plain(body::ResponseBody::inner(body)))
    }

    /// The answer that this request has begun.
    pub(super) fn first<R>(
        &self,
        head: &Head,
        reader: Reader<Head, Chunk>,
        adoption: Adoption,
    ) -> Response<ResponseBody<R>> {
        adoption.adopt();
        let (headers, extensions) = head.take_own();
        let reading = Reading::new(reader, head.length, Role::Originator(adoption));
        let mut response = Response::new(ResponseBody::reading(reading));
        *response.headers_mut() = headers;
        *response.extensions_mut() = extensions;
        self.share(response, head, false)
    }

    /// The answer that another has begun.
    pub(super) fn follow<R>(
        &self,
        head: &Head,
        reader: Reader<Head, Chunk>,
    ) -> Response<ResponseBody<R>> {
        self.outcome(CacheOutcome::Collapsed, Event::Follower);
        let role = Role::Follower(head.clone(), Arc::clone(&self.counters));
        let reading = Reading::new(reader, head.length, role);
        let mut response = Response::new(ResponseBody::reading(reading));
        *response.headers_mut() = head.headers.to_map(2);
        self.share(response, head, true)
    }

    fn share<R>(
        &self,
        mut response: Response<ResponseBody<R>>,
        head: &Head,
        collapsed: bool,
    ) -> Response<ResponseBody<R>> {
        *response.status_mut() = head.status;
        let outcome =
            Outcome::Forwarded { why: self.why, stored: head.stored.load(Relaxed), collapsed };
        self.tell(response.headers_mut(), outcome);
        response
    }

    fn tell(&self, headers: &mut HeaderMap, outcome: Outcome) {
        if let Some(status) = self.layer.settings().status(outcome) {
            // RFC 9211 section 2: the cache closest to the user stands last.
            headers.append(CACHE_STATUS, status);
        }
        if self.warned {
            // As API Gateway says it.
            headers.append(WARNING, HeaderValue::from_static(IGNORED));
        }
    }

    /// What was kept, if it is given in place of an answer with this status.
    pub(super) fn stands_in(&mut self, status: StatusCode) -> Option<Entry> {
        self.fallback.take_if(|_| is_failure(status))
    }
}

const IGNORED: &str = "199 - \"cache-control of the request was ignored\"";
