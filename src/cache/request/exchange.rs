use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{AGE, DATE, WARNING},
};

use super::{
    body::{ContextMerge, Reading, ResponseBody, Role},
    engine::Engine,
    lookup::Lookup,
};
use crate::{
    body,
    cache::{
        counts::{CacheEvent, EventCounters},
        entry::{Entry, EntryState},
        flight::{Chunk, Head, Reader},
        policy::{BypassReason, CACHE_STATUS, CacheStatus, ForwardReason, age_value, is_failure},
    },
    context::{CacheOutcome, RequestContext},
};

/// A request from its call to the head of its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) engine: Engine,
    pub(super) context: RequestContext,
    pub(super) counters: Arc<EventCounters>,
    forward_reason: ForwardReason,
    /// An entry that can replace an error.
    pub(super) stale: Option<Entry>,
    /// Adds a warning that the request's `cache-control` was ignored.
    pub(super) warn: bool,
}

impl Exchange {
    pub(super) fn new(engine: &Engine, context: RequestContext, found: Option<&Entry>) -> Self {
        Self {
            engine: engine.clone(),
            counters: engine.counters(&context, found),
            context,
            forward_reason: ForwardReason::Miss,
            stale: None,
            warn: false,
        }
    }

    /// Records the outcome in the context and in the counts.
    pub(super) fn record(&self, outcome: CacheOutcome, event: CacheEvent) {
        self.context.set_cache(outcome);
        self.counters.count(event);
    }

    /// Records that the request bypasses the cache. Warns where the place or the scope of the layer is
    /// the reason.
    pub(super) fn bypass(&mut self, reason: BypassReason) {
        if self.engine.warn_of(reason) {
            self.counters.count(CacheEvent::WithoutIdentity);
        }
        self.record(CacheOutcome::Bypass, CacheEvent::Bypass);
        self.forward_reason = ForwardReason::Bypass(reason);
    }

    /// Returns the entry if it is served without an upstream call. Remembers an entry that can
    /// replace an error.
    pub(super) fn accept(
        &mut self,
        (entry, state): (Entry, EntryState),
        lookup: &Lookup,
        now: Duration,
    ) -> Option<Entry> {
        if lookup.control.accepts(&entry, now) {
            return Some(entry);
        }
        if state == EntryState::Fresh || !lookup.control.accepts_stale() {
            self.forward_reason = ForwardReason::Request;
            return None;
        }
        self.forward_reason = ForwardReason::Stale;
        if state == EntryState::Stale && self.engine.is_in_flight(lookup.key) {
            // Another request fetches a new response.
            return Some(entry);
        }
        self.stale = Some(entry);
        None
    }

    /// Returns the entry that replaces a response with this status.
    pub(super) fn fallback(&mut self, status: StatusCode) -> Option<Entry> {
        self.stale.take_if(|_| is_failure(status))
    }

    /// Responds with an entry.
    pub(super) fn hit<R>(&self, entry: Entry) -> Response<ResponseBody<R>> {
        self.hit_at(entry, self.engine.now())
    }

    /// Responds with an entry in place of a failure of the upstream. Its record is that of a hit, and keeps
    /// the attempts.
    pub(super) fn stand_in<R>(&self, entry: Entry) -> Response<ResponseBody<R>> {
        self.context.forget_failure();
        self.hit(entry)
    }

    pub(super) fn hit_at<R>(&self, entry: Entry, now: Duration) -> Response<ResponseBody<R>> {
        self.record(CacheOutcome::Hit, CacheEvent::Hit);
        self.counters.add_bytes(entry.length() as u64);
        self.counters.saved(entry.origin.cost);
        // No layer outside reads the response again.
        self.context.claim_tap();
        // `age`, `cache-status` and `warning` are added.
        let mut headers = entry.headers.to_map(3);
        if self.engine.settings().shows_status() {
            let [age, status] = entry.hit_values(now, |age, ttl| {
                [age_value(age), CacheStatus::Hit { ttl }.header_value()]
            });
            headers.insert(AGE, age);
            headers.append(CACHE_STATUS, status);
        } else {
            // It would reveal the age.
            headers.remove(DATE);
        }
        self.add_warning(&mut headers);
        let status = entry.status;
        let mut response = Response::new(ResponseBody::replay(entry, self.context.clone()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Responds with a response of the inner service that is not shared.
    pub(super) fn pass<R>(&self, mut response: Response<R>) -> Response<ResponseBody<R>> {
        let reason = self.forward_reason;
        let status = CacheStatus::Forwarded { reason, stored: false, collapsed: false };
        self.add_status(response.headers_mut(), status);
        response.map(|body| ResponseBody::plain(body::ResponseBody::inner(body)))
    }

    /// Responds with the shared response that this request has begun.
    pub(super) fn lead<R>(
        &self,
        head: &Head,
        reader: Reader<Head, Chunk>,
        merge: ContextMerge,
    ) -> Response<ResponseBody<R>> {
        merge.merge();
        let (headers, extensions) = head.take_original();
        let reading = Reading::new(reader, head.length, Role::Leader(merge));
        let mut response = Response::new(ResponseBody::reading(reading));
        *response.headers_mut() = headers;
        *response.extensions_mut() = extensions;
        self.share(response, head, false)
    }

    /// Responds with the shared response that another request has begun.
    pub(super) fn follow<R>(
        &self,
        head: &Head,
        reader: Reader<Head, Chunk>,
    ) -> Response<ResponseBody<R>> {
        self.record(CacheOutcome::Collapsed, CacheEvent::Follower);
        let own = self.context.clone();
        let role = Role::Follower { head: head.clone(), counters: Arc::clone(&self.counters), own };
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
        let (reason, stored) = (self.forward_reason, head.stored.load(Relaxed));
        let status = CacheStatus::Forwarded { reason, stored, collapsed };
        self.add_status(response.headers_mut(), status);
        response
    }

    fn add_status(&self, headers: &mut HeaderMap, status: CacheStatus) {
        if self.engine.settings().shows_status() {
            // The cache next to the client comes last (RFC 9211 section 2).
            headers.append(CACHE_STATUS, status.header_value());
        }
        self.add_warning(headers);
    }

    fn add_warning(&self, headers: &mut HeaderMap) {
        if self.warn {
            // The text of API Gateway.
            headers.append(WARNING, HeaderValue::from_static(IGNORED));
        }
    }
}

const IGNORED: &str = "199 - \"cache-control of the request was ignored\"";
