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
        entry::{Blocks, Entry, EntryState, HeaderList, Lifetime, Origin},
        flight::{CHUNK_OVERHEAD, Chunk, Flight, Head, shareable_headers},
        key::{EntryKey, Validity},
        policy::{ResponseFreshness, is_for_others, storable},
        tier::UpstreamLease,
    },
    context::RequestContext,
    hop_by_hop,
    model::BodyForm,
    payload::{Document, says_json},
    rejection::Rejection,
    sse::says_event_stream,
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
    /// The form of the request's route.
    pub(super) form: BodyForm,
    /// The smallest output limit of the request.
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
        if stored.is_none() {
            self.lease = None;
        }
        let tap_context = RequestContext::new();
        let tap = Tap::claim(&tap_context, parts.status, &parts.headers);
        let recording = stored.map(|(ttl, freshness)| Recording {
            ttl,
            freshness,
            kind: BodyKind::of(&parts.headers),
            announced_length: length,
            count: 0,
            length: 0,
            latest: Bytes::new(),
            trailers: None,
        });
        let first = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let (shared, blocks) = shareable_headers(&parts.headers, first.min(FIRST_CHUNKS));
        let head = Head::new(parts.status, (parts.headers, parts.extensions), shared, length);
        (head.clone(), Recorder { plan: self, head, tap, tap_context, recording }, blocks)
    }
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Self {
        let text = |media_type: &HeaderValue| {
            let start = media_type.as_bytes().get(..5);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        };
        if says_json(headers) {
            Self::Json
        } else if headers.get(CONTENT_TYPE).is_none_or(text) && !says_event_stream(headers) {
            Self::Text
        } else if is_media(headers) {
            Self::Media
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

    fn end(&mut self, end: BodyEnd) {
        if let Some(tap) = &mut self.tap {
            tap.end(end);
        }
        let engine = &self.plan.engine;
        let now = engine.now();
        let time = now.saturating_sub(self.plan.started);
        let cost = CallCost { tokens: tokens(&self.tap_context), time };
        let known_form = needs_proof(self.plan.form);
        let completeness =
            self.tap.as_ref().map_or(Completeness::Unstated, |tap| tap.completeness(known_form));
        if completeness != Completeness::Failed {
            // Sharing a failure saves nothing.
            let _once = self.head.cost.set(cost);
        }
        let recording = self.recording.take();
        let recording =
            recording.filter(|recording| self.may_be_whole(recording, completeness, end));
        let Some(recording) = recording else { return };
        let counters = Arc::clone(&self.plan.counters);
        let origin = Origin { counters, validity: self.plan.validity.clone(), cost };
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
        let empty = recording.length == 0 && self.head.status != StatusCode::NO_CONTENT;
        let whole = match completeness {
            Completeness::Complete => true,
            // A limit of the server's own may change.
            Completeness::Limited => match self.plan.output_limit {
                Some(limit) => {
                    let told = self.tap_context.usage().and_then(|usage| usage.completion_tokens);
                    told.is_some_and(|told| told >= limit)
                }
                None => self.plan.context.output_is_limited(),
            },
            Completeness::Failed | Completeness::Unproven => false,
            // A form that generates or embeds must prove its success, except as image or sound.
            Completeness::Unstated if needs_proof(self.plan.form) && recording.length > 0 => {
                recording.kind == BodyKind::Media && recording.has_announced_length()
            }
            Completeness::Unstated => recording.has_announced_length(),
        };
        whole && !empty && !self.plan.context.fell_back()
    }

    /// Checks the whole body.
    fn is_whole(&self, recording: &Recording, entry: &Entry) -> bool {
        let body = entry.body.bytes();
        match recording.kind {
            BodyKind::Json => {
                recording.has_announced_length() || Document::parse(body.clone()).is_ok()
            }
            BodyKind::Text => !is_page(body) && Completeness::of_body(body) != Completeness::Failed,
            BodyKind::Media | BodyKind::Other => true,
        }
    }
}

impl Recording {
    fn has_announced_length(&self) -> bool {
        self.announced_length == Some(self.length as u64)
    }
}

/// Returns whether a response to this form must hold a result of a model.
const fn needs_proof(form: BodyForm) -> bool {
    !matches!(form, BodyForm::Media | BodyForm::Unknown)
}

fn is_media(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    [&b"image/"[..], b"audio/", b"video/"].iter().any(|kind| {
        media_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
    }) && !media_type.ends_with(b"+xml")
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
