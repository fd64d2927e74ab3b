//! Records a response as it passes and stores it at its end.

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE, response::Parts};

use super::engine::Engine;
use crate::{
    body::{BodyEnd, Watch, is_coded},
    cache::{
        counts::{CacheEvent, CallCost, EventCounters},
        entry::{Blocks, Entry, EntryState, HeaderList, Lifetime, Origin, ResponseFacts},
        flight::{CHUNK_OVERHEAD, Chunk, Flight, Head, shareable_headers},
        key::{EntryKey, Validity},
        policy::{
            ExpectedResult, ResponseFreshness, ResultEnd, is_for_others, is_media,
            starts_like_text, storable,
        },
        tier::UpstreamLease,
    },
    context::{RequestContext, StreamEnd},
    hop_by_hop,
    payload::{Document, says_json},
    rejection::Rejection,
    tap::{Completeness, Tap},
};

/// Everything that the recorder of a response needs from its request.
pub(super) struct RecordPlan {
    pub(super) engine: Engine,
    pub(super) key: EntryKey,
    /// The number of the flight in the table.
    pub(super) number: u64,
    /// Weak, because the flight has the source that has this.
    pub(super) flight: Weak<Flight<Head, Chunk>>,
    /// How long the response may be stored. `None` if it is not stored.
    pub(super) ttl: Option<Duration>,
    /// The result that the response must hold.
    pub(super) expected: ExpectedResult,
    /// The output limit of the request, for all its results together.
    pub(super) output_limit: Option<u64>,
    pub(super) validity: Validity,
    pub(super) counters: Arc<EventCounters>,
    /// The context of the call, which belongs to none of the requests.
    pub(super) context: RequestContext,
    pub(super) started: Duration,
    /// Stores the response in the second tier as well.
    pub(super) lease: Option<UpstreamLease>,
}

/// Observes the body of a shared response.
pub(super) struct Recorder {
    plan: RecordPlan,
    head: Head,
    tap: Option<Tap>,
    tap_context: RequestContext,
    /// `None` if the response is not stored.
    recording: Option<Recording>,
}

struct Recording {
    ttl: Duration,
    freshness: ResponseFreshness,
    kind: BodyKind,
    announced_length: Option<u64>,
    /// Chunks so far, which are in the flight's log.
    count: usize,
    /// Bytes so far.
    length: usize,
    /// The latest chunk. It may end the body before it is in the log.
    latest: Bytes,
    trailers: Option<HeaderList>,
}

/// The largest part of the body that the first block has room for.
const FIRST_CHUNKS: usize = 1024;

/// The kind of a body according to its head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum BodyKind {
    Json,
    /// Text or an unknown type, which may be an HTML page or an error.
    Text,
    /// An image, sound or video.
    Media,
    /// Events or JSON lines.
    Stream,
    Other,
}

impl RecordPlan {
    /// Starts the upstream call.
    pub(super) fn start(self, lease: Option<UpstreamLease>) -> Self {
        self.counters.count(CacheEvent::Miss);
        Self { started: self.engine.now(), lease, ..self }
    }

    /// Stores an entry of the second tier in memory.
    pub(super) fn store(&self, entry: &Entry) {
        self.engine.store(self.key, self.number, entry.clone());
    }

    /// Returns an entry of the second tier that can replace an error.
    pub(super) fn fallback(&self) -> Option<Entry> {
        let entry = self.lease.as_ref()?.fallback.clone()?;
        (entry.state(self.engine.now()) != EntryState::Expired).then_some(entry)
    }

    /// Returns whether a response is shared. Rejections of this crate are not. With several callers,
    /// responses that are private to one are not (RFC 9111 sections 4.1 and 5.2.2).
    pub(super) fn is_shared<R>(&self, response: &Response<R>) -> bool {
        let settings = self.engine.settings();
        response.extensions().get::<Rejection>().is_none()
            && (!settings.scope.is_wide()
                || is_for_others(response.headers(), &settings.key.headers))
    }

    /// Begins the recording at the head of a response. The blocks take the copies of its chunks.
    pub(super) fn record(mut self, parts: Parts, length: Option<u64>) -> (Head, Recorder, Blocks) {
        let settings = self.engine.settings();
        let ttl = self.ttl.filter(|_| !self.context.fell_back() && !is_coded(&parts.headers));
        let stored = ttl.and_then(|ttl| {
            let freshness = storable(&parts, &settings.key.headers)?;
            let ttl = settings.freshness.of_response(ttl, &freshness);
            (ttl > Duration::ZERO).then_some((ttl, freshness))
        });
        let max_length = settings.memory.max_entry_bytes;
        let stored = stored.filter(|_| length.is_none_or(|length| length <= max_length));
        // The second tier does not know the target.
        if stored.is_none() || self.context.served().is_some() && self.context.has_judges() {
            self.lease = None;
        }
        let tap_context = RequestContext::new();
        let tap = Tap::claim(&tap_context, parts.status, &parts.headers);
        let recording = stored.map(|(ttl, freshness)| Recording {
            ttl,
            freshness,
            kind: BodyKind::of(&parts.headers, tap.as_ref()),
            announced_length: length,
            count: 0,
            length: 0,
            latest: Bytes::new(),
            trailers: None,
        });
        let first = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let (shared, blocks) = shareable_headers(&parts.headers, first.min(FIRST_CHUNKS));
        let fallback =
            Some(&self.context).filter(|call| call.fell_back() || call.served().is_some()).cloned();
        let original = (parts.headers, parts.extensions);
        let head =
            Head::new(parts.status, original, shared, length, fallback, self.context.clone());
        (head.clone(), Recorder { plan: self, head, tap, tap_context, recording }, blocks)
    }
}

impl BodyKind {
    fn of(headers: &HeaderMap, tap: Option<&Tap>) -> Self {
        let text = |media_type: &HeaderValue| {
            let start = media_type.as_bytes().get(..5);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        };
        match tap {
            Some(tap) if tap.reads_stream() => Self::Stream,
            Some(_) => Self::Json,
            None if says_json(headers) => Self::Json,
            None if is_media(headers) => Self::Media,
            None if headers.get(CONTENT_TYPE).is_none_or(text) => Self::Text,
            None => Self::Other,
        }
    }
}

impl Watch for Recorder {
    fn data(&mut self, data: &Bytes) {
        if let Some(tap) = &mut self.tap {
            tap.data(data);
        }
        if let Some(recording) = &mut self.recording {
            recording.length = recording.length.saturating_add(data.len());
            recording.count += 1;
            recording.latest = data.clone();
            let weight = recording.length.saturating_add(recording.count * CHUNK_OVERHEAD);
            if weight as u64 > self.plan.engine.settings().memory.max_entry_bytes {
                self.recording = None;
                self.plan.lease = None;
            }
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(recording) = &mut self.recording {
            let mut trailers = trailers.clone();
            hop_by_hop::strip_connection_headers(&mut trailers);
            recording.trailers = Some(HeaderList::from(&trailers));
        }
    }

    fn end(&mut self, mut end: BodyEnd) {
        // Clients such as OpenAI's SDK for Python leave at `[DONE]`, perhaps before the last chunk of
        // the transfer coding has come.
        let is_done = self.tap_context.stream_end() == Some(StreamEnd::Done);
        if end == BodyEnd::Cancelled && is_done {
            end = BodyEnd::Complete;
        }
        if let Some(tap) = &mut self.tap {
            tap.end(end);
        }
        let engine = &self.plan.engine;
        let now = engine.now();
        let time = now.saturating_sub(self.plan.started);
        let cost = CallCost { tokens: tokens(&self.tap_context), time };
        let text_in_roots = self.plan.expected.has_text_in_roots();
        let completeness =
            self.tap.as_ref().map_or(Completeness::Unstated, |tap| tap.completeness(text_in_roots));
        if completeness != Completeness::Failed {
            // Sharing a failure saves nothing.
            let _once = self.head.cost.set(cost);
        }
        let recording = self.recording.take();
        let recording =
            recording.filter(|recording| self.may_be_whole(recording, completeness, end));
        let Some(recording) = recording else { return };
        let counters = Arc::clone(&self.plan.counters);
        let facts = ResponseFacts::of(&self.tap_context);
        let (validity, served) = (self.plan.validity.clone(), self.plan.context.served());
        let origin = Origin { counters, validity, cost, facts, served };
        let Recording { ttl, freshness, .. } = &recording;
        let stale = engine.settings().freshness.stale(freshness);
        let lifetime = Lifetime::new(now.saturating_sub(freshness.age), now, *ttl, stale);
        let Some(entry) = self.entry(&recording, lifetime, origin) else { return };
        if !self.is_whole(&recording, &entry) {
            return;
        }
        if engine.store(self.plan.key, self.plan.number, entry.clone()) {
            self.plan.counters.count(CacheEvent::Stored);
            self.head.stored.store(true, Relaxed);
            if let Some(lease) = self.plan.lease.take() {
                lease.store(&entry);
            }
        }
    }
}

impl Recorder {
    /// Copies the flight's log into an entry. Returns `None` if chunks were dropped from the log.
    fn entry(&self, recording: &Recording, lifetime: Lifetime, origin: Origin) -> Option<Entry> {
        let head = (self.head.status, &self.head.headers);
        let flight = self.plan.flight.upgrade()?;
        let entry = flight.with_log(|log| {
            let latest = match recording.count.checked_sub(log.len())? {
                0 => None,
                1 => Some(&*recording.latest),
                _ => return None,
            };
            let chunks = log.iter().filter_map(Chunk::data).chain(latest);
            Some(Entry::new(head, (chunks, recording.trailers.as_ref()), lifetime, origin))
        });
        entry.flatten()
    }

    /// Returns whether the response can be complete and successful. This is stricter than RFC 9111
    /// section 3.3.
    fn may_be_whole(
        &self,
        recording: &Recording,
        completeness: Completeness,
        end: BodyEnd,
    ) -> bool {
        let ended = matches!(end, BodyEnd::Complete | BodyEnd::Trailers);
        let short = recording.announced_length.is_some() && !recording.has_announced_length();
        if !ended || short {
            return false;
        }
        let expected = self.plan.expected;
        // A result has a body.
        let no_content = self.head.status == StatusCode::NO_CONTENT && expected.is_unknown();
        let empty = recording.length == 0 && !no_content;
        let by_length = recording.has_announced_length();
        let whole = match completeness {
            _ if recording.kind == BodyKind::Stream && !expected.may_stream() => false,
            Completeness::Complete => true,
            // A limit of the server's own may change.
            Completeness::Limited => match self.plan.output_limit {
                Some(limit) => {
                    let told = self.tap_context.usage().and_then(|usage| usage.completion_tokens);
                    told.is_some_and(|told| told >= limit)
                }
                None => self.plan.context.output_is_limited(),
            },
            Completeness::OpenEnded => self.has_known_limit(),
            Completeness::Failed | Completeness::Unproven => false,
            Completeness::Unstated if recording.kind == BodyKind::Media => {
                expected.may_be_media() && by_length
            }
            Completeness::Unstated => expected.is_unknown() && by_length,
        };
        whole && !empty && !self.plan.context.fell_back()
    }

    /// Returns whether the request or a layer of this crate limits the output.
    fn has_known_limit(&self) -> bool {
        self.plan.output_limit.is_some() || self.plan.context.output_is_limited()
    }

    /// Checks the whole body.
    fn is_whole(&self, recording: &Recording, entry: &Entry) -> bool {
        let body = entry.body.bytes();
        let expected = self.plan.expected;
        match recording.kind {
            BodyKind::Json if expected.is_unknown() && recording.has_announced_length() => true,
            BodyKind::Json => {
                let document = Document::parse(body.clone());
                match document.ok().and_then(|document| expected.in_document(document.root())) {
                    Some(ResultEnd::Stated) => true,
                    Some(ResultEnd::Unstated) => self.has_known_limit(),
                    None => false,
                }
            }
            BodyKind::Text => !is_page(body) && Completeness::of_body(body) != Completeness::Failed,
            BodyKind::Media => !starts_like_text(body),
            BodyKind::Stream | BodyKind::Other => true,
        }
    }
}

impl Recording {
    fn has_announced_length(&self) -> bool {
        self.announced_length == Some(self.length as u64)
    }
}

/// Returns whether a text is an HTML page: of a login, a load balancer or a starting application.
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
