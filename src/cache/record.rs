//! Takes down an answer as it passes, and keeps it at its true end.

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE, response::Parts};

use super::{
    block::Blocks,
    counts::{Cost, Counters, Event},
    entry::{Entry, Origin, State, Times},
    fields::Fields,
    flight::Flight,
    generation::Start,
    head::{Chunk, Head, OF_CHUNK, shareable},
    key::At,
    layer::CacheLayer,
    second::Turn,
    storable::{Freshness, is_for_others, storable},
};
use crate::{
    body::{BodyEnd, Watch, is_coded},
    context::RequestContext,
    hop_by_hop,
    payload::{Document, says_json},
    rejection::Rejection,
    sse::says_event_stream,
    tap::{Completeness, Tap},
};

/// What is known of an answer before there is one.
pub(super) struct Plan {
    pub(super) layer: CacheLayer,
    pub(super) at: At,
    /// Among the flights.
    pub(super) number: u64,
    /// Weak, as it has what has this.
    pub(super) flight: Weak<Flight<Head, Chunk>>,
    /// For how long it may be kept; `None` when it is not to be.
    pub(super) ttl: Option<Duration>,
    /// The request limits its output.
    pub(super) limited: bool,
    pub(super) start: Start,
    pub(super) counters: Arc<Counters>,
    /// Of the call, which is nobody's own.
    pub(super) context: RequestContext,
    pub(super) started: Duration,
    /// Where the answer goes to the second tier, too.
    pub(super) turn: Option<Turn>,
}

/// Sees an answer pass.
pub(super) struct Recorder {
    plan: Plan,
    head: Head,
    tap: Option<Tap>,
    tapped: RequestContext,
    /// `None` when it is not to be kept.
    record: Option<Record>,
}

struct Record {
    ttl: Duration,
    freshness: Freshness,
    kind: Kind,
    announced: Option<u64>,
    /// Pieces, which the flight has, and their bytes.
    count: usize,
    length: usize,
    /// The latest piece, which may end the body before the flight has it.
    latest: Bytes,
    trailers: Option<Fields>,
}

/// As many bytes of the body as the first block has room for, at most.
const FIRST_PIECES: usize = 1024;

/// What a body is, as far as its head tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Json,
    /// Text, or of no type: a page or an error may hide there.
    Text,
    Other,
}

impl Plan {
    /// The upstream is called now.
    pub(super) fn depart(self, turn: Option<Turn>) -> Self {
        self.counters.count(Event::Miss);
        Self { started: self.layer.now(), turn, ..self }
    }

    /// The upstream need not be called.
    pub(super) fn found(&self, entry: &Entry) {
        self.layer.keep(self.at, self.number, entry.clone());
    }

    /// What the second tier has that may stand in for an error.
    pub(super) fn fallback(&self) -> Option<Entry> {
        let entry = self.turn.as_ref()?.fallback.clone()?;
        (entry.state(self.layer.now()) != State::Over).then_some(entry)
    }

    /// Whether the answer is for all who wait for it: no refusal of our own, and, where they may be
    /// several callers, nothing that is for one alone (RFC 9111 sections 4.1, 5.2.2).
    pub(super) fn is_shared<R>(&self, response: &Response<R>) -> bool {
        let settings = self.layer.settings();
        response.extensions().get::<Rejection>().is_none()
            && (!settings.scope.is_wide() || is_for_others(response.headers(), settings.fields()))
    }

    /// The answer's head is there. What comes is copied into the blocks.
    pub(super) fn begin(mut self, parts: Parts, length: Option<u64>) -> (Head, Recorder, Blocks) {
        let settings = self.layer.settings();
        let kept = self.ttl.filter(|_| !self.context.fell_back() && !is_coded(&parts.headers));
        let kept = kept.and_then(|ttl| {
            let freshness = storable(&parts, settings.fields())?;
            let fresh_for = settings.fresh_for(ttl, freshness.fresh_for);
            (fresh_for > Duration::ZERO).then_some((fresh_for, freshness))
        });
        let kept = kept.filter(|_| length.is_none_or(|length| length <= settings.max_entry()));
        if kept.is_none() {
            self.turn = None;
        }
        let tapped = RequestContext::new();
        let tap = Tap::claim(&tapped, parts.status, &parts.headers);
        let record = kept.map(|(ttl, freshness)| Record {
            ttl,
            freshness,
            kind: Kind::of(&parts.headers),
            announced: length,
            count: 0,
            length: 0,
            latest: Bytes::new(),
            trailers: None,
        });
        let first = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let (shared, blocks) = shareable(&parts.headers, first.min(FIRST_PIECES));
        let head = Head::new(parts.status, (parts.headers, parts.extensions), shared, length);
        (head.clone(), Recorder { plan: self, head, tap, tapped, record }, blocks)
    }
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let text = |media_type: &HeaderValue| {
            let start = media_type.as_bytes().get(..5);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        };
        if says_json(headers) {
            Self::Json
        } else if headers.get(CONTENT_TYPE).is_none_or(text) && !says_event_stream(headers) {
            Self::Text
        } else {
            Self::Other
        }
    }
}

impl Watch for Recorder {
    fn data(&mut self, data: &Bytes) {
        if let Some(tap) = &mut self.tap {
            tap.data(data);
        }
        if let Some(record) = &mut self.record {
            record.length = record.length.saturating_add(data.len());
            record.count += 1;
            record.latest = data.clone();
            let weight = record.length.saturating_add(record.count * OF_CHUNK);
            if weight as u64 > self.plan.layer.settings().max_entry() {
                self.record = None;
                self.plan.turn = None;
            }
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(record) = &mut self.record {
            let mut trailers = trailers.clone();
            hop_by_hop::strip_connection_headers(&mut trailers);
            record.trailers = Some(Fields::from(&trailers));
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(tap) = &mut self.tap {
            tap.end(end);
        }
        let layer = &self.plan.layer;
        let now = layer.now();
        let cost =
            Cost { tokens: tokens(&self.tapped), time: now.saturating_sub(self.plan.started) };
        let completeness = self.tap.as_ref().map_or(Completeness::Unstated, Tap::completeness);
        if completeness != Completeness::Failed {
            // A failure that is shared saves nobody a call.
            let _once = self.head.cost.set(cost);
        }
        let record =
            self.record.take().filter(|record| self.may_be_whole(record, completeness, end));
        let Some(record) = record else { return };
        let settings = layer.settings();
        let counters = Arc::clone(&self.plan.counters);
        let origin = Origin { counters, start: self.plan.start.clone(), cost };
        let times = times(now, record.freshness.age, record.ttl, settings.stale(&record.freshness));
        let Some(entry) = self.entry(&record, times, origin) else { return };
        if !self.is_whole(&record, &entry) {
            return;
        }
        if layer.keep(self.plan.at, self.plan.number, entry.clone()) {
            self.plan.counters.count(Event::Stored);
            self.head.stored.store(true, Relaxed);
            if let Some(turn) = self.plan.turn.take() {
                turn.keep(&entry);
            }
        }
    }
}

impl Recorder {
    /// A copy of what the flight has. `None` when it has not all of it.
    fn entry(&self, record: &Record, times: Times, origin: Origin) -> Option<Entry> {
        let head = (self.head.status, &self.head.headers);
        let flight = self.plan.flight.upgrade()?;
        let entry = flight.with_log(|log| {
            let latest = match record.count.checked_sub(log.len())? {
                0 => None,
                1 => Some(&*record.latest),
                _ => return None,
            };
            let pieces = log.iter().filter_map(Chunk::data).chain(latest);
            Some(Entry::new(head, (pieces, record.trailers.as_ref()), times, origin))
        });
        entry.flatten()
    }

    /// RFC 9111 section 3.3, and stricter: never what is not known to be whole, nor what says that
    /// it failed.
    fn may_be_whole(&self, record: &Record, completeness: Completeness, end: BodyEnd) -> bool {
        let ended = matches!(end, BodyEnd::Complete | BodyEnd::Trailers);
        if !ended || record.announced.is_some() && !record.has_reached() {
            return false;
        }
        let empty = record.length == 0 && self.head.status != StatusCode::NO_CONTENT;
        let whole = match completeness {
            Completeness::Complete => true,
            // A limit that is the server's own may be another tomorrow.
            Completeness::Limited => self.plan.limited || self.plan.context.output_is_limited(),
            Completeness::Failed | Completeness::Unproven => false,
            Completeness::Unstated => record.has_reached(),
        };
        whole && !empty && !self.plan.context.fell_back()
    }

    /// What only the whole body can tell.
    fn is_whole(&self, record: &Record, entry: &Entry) -> bool {
        let body = entry.pieces.body();
        match record.kind {
            Kind::Json => record.has_reached() || Document::parse(body.clone()).is_ok(),
            Kind::Text => !is_page(body) && Completeness::of_body(body) != Completeness::Failed,
            Kind::Other => true,
        }
    }
}

impl Record {
    fn has_reached(&self) -> bool {
        self.announced == Some(self.length as u64)
    }
}

/// Whether a text is a page of HTML: of a login, a load balancer, or an application that starts.
fn is_page(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|start| text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start)))
}

fn tokens(context: &RequestContext) -> u64 {
    let usage = context.usage().unwrap_or_default();
    usage.total_tokens.unwrap_or_else(|| {
        let prompt = usage.prompt_tokens.unwrap_or_default();
        let completion = usage.completion_tokens.unwrap_or_else(|| context.generated_tokens());
        prompt.saturating_add(completion)
    })
}

/// `stale`: for how long after that while a new one is fetched, and in place of an error.
fn times(now: Duration, age: Duration, ttl: Duration, stale: (Duration, Duration)) -> Times {
    let fresh_until = now.saturating_add(ttl);
    let revalidated_until = fresh_until.saturating_add(stale.0);
    let kept_until = fresh_until.saturating_add(stale.1).max(revalidated_until);
    Times { made: now.saturating_sub(age), fresh_until, revalidated_until, kept_until }
}
