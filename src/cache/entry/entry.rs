use std::{
    any::Any,
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::{
    blocks::Blocks, expiry::ExpirySlot, facts::ResponseFacts, header_list::HeaderList,
    spellings::SpellingSlot,
};
#[cfg(all(feature = "fallback", feature = "model-rules"))]
use crate::model::Judge;
use crate::{
    cache::{
        counts::{CallCost, EventCounters},
        key::{Tag, Validity},
    },
    context::RequestContext,
    lock::Lock,
};

/// A complete response. Clones share it.
#[derive(Clone)]
pub(crate) struct Entry(Arc<StoredResponse>);

pub(crate) struct StoredResponse {
    pub(crate) status: StatusCode,
    /// The headers that are valid for every caller.
    pub(crate) headers: HeaderList,
    pub(crate) body: ChunkedBody,
    pub(crate) trailers: Option<HeaderList>,
    pub(crate) lifetime: Lifetime,
    pub(crate) origin: Origin,
    expiry_slot: OnceLock<ExpirySlot>,
    spelling_slot: Lock<Option<SpellingSlot>>,
    /// Those of the latest hit, with its age and its time to live in seconds.
    hit_values: Lock<Option<((u64, i64), HitValues)>>,
}

/// The values of the headers of a hit that change each second: `age` and `cache-status`.
pub(crate) type HitValues = [HeaderValue; 2];

/// A body and the lengths of its original chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChunkedBody {
    bytes: Bytes,
    lengths: Box<[u32]>,
}

/// The call that an entry comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The counters of its route and model.
    pub(crate) counters: Arc<EventCounters>,
    pub(crate) validity: Validity,
    pub(crate) cost: CallCost,
    pub(crate) facts: ResponseFacts,
    /// The `Target` that served in place of the one that rules have judged.
    pub(crate) served: Option<Arc<dyn Any + Send + Sync>>,
}

/// The times of an entry on the monotonic clock. Setting the wall clock back does not extend them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lifetime {
    /// The completion of the response, less its age in other caches.
    pub(crate) created: Duration,
    pub(crate) fresh_until: Duration,
    /// Until then the entry is served while a new response is fetched.
    pub(crate) revalidate_until: Duration,
    /// Until then the entry is served instead of an error. Never before the other times.
    pub(crate) expires: Duration,
}

/// The use of an entry at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EntryState {
    Fresh,
    /// Served while a new response is fetched.
    Stale,
    /// Served instead of an error.
    ErrorFallback,
    Expired,
}

impl Entry {
    /// Copies a response.
    pub(crate) fn new<'a>(
        (status, headers): (StatusCode, &HeaderList),
        (chunks, trailers): (impl Iterator<Item = &'a [u8]> + Clone, Option<&HeaderList>),
        lifetime: Lifetime,
        origin: Origin,
    ) -> Self {
        let values = headers.values_length() + trailers.map_or(0, HeaderList::values_length);
        let mut blocks = Blocks::with_capacity(values);
        let headers = headers.copy_into(&mut blocks);
        let trailers = trailers.map(|trailers| trailers.copy_into(&mut blocks));
        let body = ChunkedBody::copied(chunks);
        Self(Arc::new(StoredResponse {
            status,
            headers,
            body,
            trailers,
            lifetime,
            origin,
            expiry_slot: OnceLock::new(),
            spelling_slot: Lock::default(),
            hit_values: Lock::default(),
        }))
    }

    /// Returns the same entry without its body.
    #[cfg(feature = "cache-compression")]
    pub(crate) fn without_body(&self) -> Self {
        self.with_body(ChunkedBody::default())
    }

    /// Returns the same entry with another body.
    #[cfg(feature = "cache-compression")]
    pub(crate) fn with_body(&self, body: ChunkedBody) -> Self {
        let response = &*self.0;
        Self(Arc::new(StoredResponse {
            status: response.status,
            headers: response.headers.clone(),
            body,
            trailers: response.trailers.clone(),
            lifetime: response.lifetime,
            origin: response.origin.clone(),
            expiry_slot: OnceLock::new(),
            spelling_slot: Lock::default(),
            hit_values: Lock::default(),
        }))
    }

    /// Returns whether the model rules of a caller allow the target that the entry comes from.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    pub(crate) fn is_allowed(&self, caller: &RequestContext) -> bool {
        let served = self.0.origin.served.as_deref();
        served.is_none() || Judge::all_allow_served(caller, served) == Some(true)
    }

    /// Returns true: only a fallback chooses targets that no rule has judged.
    #[cfg(not(all(feature = "fallback", feature = "model-rules")))]
    #[expect(clippy::unused_self, reason = "the same name as with model rules")]
    pub(crate) const fn is_allowed(&self, _caller: &RequestContext) -> bool {
        true
    }

    /// Returns the memory of the entry in bytes, including its slots in the table, in the expiry queue
    /// and among the spellings. A test compares it with the allocator's count.
    pub(crate) fn weight(&self) -> u64 {
        // Slots of three tables that grow by doubling, and the headers of the allocations.
        const SLOTS: usize = 512;
        // Two values, each with its share count.
        const HIT_VALUES: usize = 144;
        const SERVED: usize = 256;
        let response = &*self.0;
        let headers = response.trailers.iter().chain([&response.headers]);
        let headers: usize = headers.map(|list| list.weight() + list.values_length()).sum();
        let tags = response.origin.validity.tags.len() * size_of::<Tag>();
        let served = if response.origin.served.is_some() { SERVED } else { 0 };
        let fixed = size_of::<StoredResponse>() + SLOTS + HIT_VALUES;
        (fixed + served + tags + headers + response.body.weight()) as u64
    }

    /// Returns the bytes of the body.
    pub(crate) fn length(&self) -> usize {
        self.0.body.bytes.len()
    }

    /// Sets the slot in the expiry queue, which is freed with the entry. Only the first call counts.
    pub(crate) fn set_expiry_slot(&self, slot: ExpirySlot) {
        let _second = self.0.expiry_slot.set(slot);
    }

    /// Sets the slot of the latest spelling, which is freed with the entry.
    pub(crate) fn set_spelling_slot(&self, slot: SpellingSlot) {
        let replaced = self.0.spelling_slot.lock().replace(slot);
        // After the lock.
        drop(replaced);
    }

    /// Returns the values of a hit at a time. `render` makes them of the age and the time to live in
    /// seconds, once for all hits of the same second.
    pub(crate) fn hit_values(
        &self,
        now: Duration,
        render: impl FnOnce(u64, i64) -> HitValues,
    ) -> HitValues {
        let (age, ttl) = (self.age(now).as_secs(), self.ttl_seconds(now));
        let mut latest = self.0.hit_values.lock();
        if let Some((of, values)) = &*latest
            && *of == (age, ttl)
        {
            return values.clone();
        }
        let values = render(age, ttl);
        *latest = Some(((age, ttl), values.clone()));
        values
    }

    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.0.lifetime.created)
    }

    pub(crate) fn state(&self, now: Duration) -> EntryState {
        let lifetime = &self.0.lifetime;
        if now < lifetime.fresh_until {
            EntryState::Fresh
        } else if now < lifetime.revalidate_until {
            EntryState::Stale
        } else if now < lifetime.expires {
            EntryState::ErrorFallback
        } else {
            EntryState::Expired
        }
    }

    /// Returns the seconds until the entry is stale, negative afterwards. They are bounded by the
    /// integers of a structured header (RFC 9651 section 3.3.1).
    pub(crate) fn ttl_seconds(&self, now: Duration) -> i64 {
        const MAX: i64 = 999_999_999_999_999;
        let seconds =
            |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(MAX).min(MAX);
        let fresh_until = self.0.lifetime.fresh_until;
        match self.state(now) {
            EntryState::Fresh => seconds(fresh_until.saturating_sub(now)),
            // At least one second, so that a stale entry never has zero.
            _ => -seconds(now.saturating_sub(fresh_until)).max(1),
        }
    }
}

impl Deref for Entry {
    type Target = StoredResponse;

    fn deref(&self) -> &StoredResponse {
        &self.0
    }
}

impl fmt::Debug for Entry {
    // Without the body: it has a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("status", &self.0.status)
            .field("length", &self.length())
            .field("lifetime", &self.0.lifetime)
            .finish_non_exhaustive()
    }
}

// === impl Lifetime ===

impl Lifetime {
    /// Creates the times of an entry that is fresh for `ttl` from `now` on. `stale` has how long it
    /// is then served while a new response is fetched, and instead of an error.
    pub(crate) fn new(
        created: Duration,
        now: Duration,
        ttl: Duration,
        stale: (Duration, Duration),
    ) -> Self {
        let fresh_until = now.saturating_add(ttl);
        let revalidate_until = fresh_until.saturating_add(stale.0);
        let expires = fresh_until.saturating_add(stale.1).max(revalidate_until);
        Self { created, fresh_until, revalidate_until, expires }
    }
}

// === impl ChunkedBody ===

impl ChunkedBody {
    fn copied<'a>(chunks: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut bytes = Vec::with_capacity(chunks.clone().map(<[u8]>::len).sum());
        let mut lengths = Vec::with_capacity(chunks.clone().count());
        for chunk in chunks {
            bytes.extend_from_slice(chunk);
            // A chunk of 4 GiB or more is replayed as several.
            let mut rest = chunk.len();
            while let Err(_too_long) = u32::try_from(rest) {
                lengths.push(u32::MAX);
                rest -= u32::MAX as usize;
            }
            lengths.extend(u32::try_from(rest));
        }
        Self { bytes: bytes.into(), lengths: lengths.into() }
    }

    /// Returns `None` if the lengths do not add up to the body.
    #[cfg(feature = "cache-compression")]
    pub(crate) fn from_parts(bytes: Bytes, lengths: Box<[u32]>) -> Option<Self> {
        let length = lengths.iter().try_fold(0_usize, |sum, one| sum.checked_add(*one as usize))?;
        (length == bytes.len()).then_some(Self { bytes, lengths })
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) const fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Returns a chunk by its number and its first byte.
    pub(crate) fn get(&self, number: usize, start: usize) -> Option<Bytes> {
        let end = start.checked_add(*self.lengths.get(number)? as usize)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.bytes.clone();
        self.lengths.iter().map(move |length| rest.split_to(*length as usize))
    }

    fn weight(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.lengths)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use http::header::ETAG;

    use super::*;

    pub(crate) fn entry(chunks: &[Bytes], fresh_until: u64) -> Entry {
        let seconds = Duration::from_secs;
        let lifetime = Lifetime {
            created: seconds(0),
            fresh_until: seconds(fresh_until),
            revalidate_until: seconds(fresh_until + 10),
            expires: seconds(fresh_until + 20),
        };
        let headers = HeaderList::default();
        let validity = Validity { since: 0, tags: Arc::default() };
        let (cost, facts) = (CallCost::default(), ResponseFacts::default());
        let origin = Origin { counters: Arc::default(), validity, cost, facts, served: None };
        let chunks = chunks.iter().map(|chunk| &**chunk);
        Entry::new((StatusCode::OK, &headers), (chunks, None), lifetime, origin)
    }

    #[test]
    fn an_entry_copies_its_response() {
        let buffer = Bytes::from(vec![b'7'; 64 * 1024]);
        let chunks = [buffer.slice(..3), buffer.slice(10..10), buffer.slice(100..105)];
        let value = HeaderValue::from_maybe_shared(buffer.slice(200..300)).unwrap();
        let headers = HeaderList::from_iter([(ETAG, value)]);
        let entry = entry(&[], 1);
        let (lifetime, origin) = (entry.lifetime, entry.origin.clone());
        let slices = chunks.iter().map(|chunk| &**chunk);
        let entry =
            Entry::new((StatusCode::OK, &headers), (slices, Some(&headers)), lifetime, origin);
        assert!(entry.body.iter().eq(chunks.iter().cloned()));
        assert_eq!(entry.length(), 8);
        let trailers = entry.trailers.as_ref().unwrap();
        assert_eq!((trailers.to_map(0), entry.headers.len()), (headers.to_map(0), 1));
        drop((chunks, headers));
        assert!(buffer.is_unique());
    }

    #[test]
    fn the_values_of_hits_are_made_once_a_second() {
        let entry = entry(&[], 60);
        let made = std::cell::Cell::new(0);
        let at = |millis| {
            let values = entry.hit_values(Duration::from_millis(millis), |age, ttl| {
                made.set(made.get() + 1);
                [HeaderValue::from(age), HeaderValue::from(ttl)]
            });
            (values.map(|value| value.to_str().unwrap().to_owned()), made.get())
        };
        let is = |age: &str, ttl: &str| [age.to_owned(), ttl.to_owned()];
        assert_eq!(at(2_000), (is("2", "58"), 1));
        assert_eq!(at(2_000), (is("2", "58"), 1));
        // The age counts whole seconds, and so does what is left of the minute.
        assert_eq!(at(2_001), (is("2", "57"), 2));
        assert_eq!(at(2_999), (is("2", "57"), 2));
        assert_eq!(at(3_000), (is("3", "57"), 3));
        // A stale entry.
        assert_eq!(at(61_500), (is("61", "-1"), 4));
        assert_eq!(at(2_000), (is("2", "58"), 5));
    }

    #[test]
    fn an_entry_becomes_stale_and_expires() {
        let entry = entry(&[], 60);
        let at = |seconds| entry.state(Duration::from_secs(seconds));
        assert_eq!([at(0), at(59)], [EntryState::Fresh; 2]);
        assert_eq!([at(60), at(69)], [EntryState::Stale; 2]);
        assert_eq!([at(70), at(79)], [EntryState::ErrorFallback; 2]);
        assert_eq!(at(80), EntryState::Expired);
        assert_eq!(entry.age(Duration::from_secs(61)), Duration::from_secs(61));
    }
}
