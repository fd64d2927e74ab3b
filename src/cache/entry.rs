//! An answer that is kept.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;

use super::{
    block::Blocks,
    counts::{Cost, Counters},
    expiry::Slot,
    fields::Fields,
    generation::{Start, Tag},
};

/// A whole answer. Clones are the same one.
#[derive(Clone)]
pub(super) struct Entry(Arc<Answer>);

pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Without those that are for one hop or one caller.
    pub(super) headers: Fields,
    pub(super) pieces: Pieces,
    pub(super) trailers: Option<Fields>,
    pub(super) times: Times,
    pub(super) origin: Origin,
    /// Among those that are to leave when they are over.
    slot: OnceLock<Slot>,
}

/// The pieces of a body, as they came: one block, and where each piece ends in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    body: Bytes,
    lengths: Box<[u32]>,
}

/// Where an answer comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Of its route and model.
    pub(super) counters: Arc<Counters>,
    /// From before the request went upstream.
    pub(super) start: Start,
    pub(super) cost: Cost,
}

/// All on the monotonic clock, so that no clock set back makes an answer young again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Times {
    /// When the answer was complete; or before that, if it came out of another cache.
    pub(super) made: Duration,
    pub(super) fresh_until: Duration,
    /// Until when it may be served while a new one is fetched.
    pub(super) revalidated_until: Duration,
    /// Until when it may be served in place of an error. Never before the two others.
    pub(super) kept_until: Duration,
}

/// What an entry is good for at some time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Fresh,
    /// To be served, and fetched anew meanwhile.
    Stale,
    /// To be served if no new one can be had.
    LastResort,
    Over,
}

impl Entry {
    /// Copies all that it is given into one block.
    pub(super) fn new<'a>(
        (status, headers): (StatusCode, &Fields),
        (pieces, trailers): (impl Iterator<Item = &'a [u8]> + Clone, Option<&Fields>),
        times: Times,
        origin: Origin,
    ) -> Self {
        let fields = headers.values_length() + trailers.map_or(0, Fields::values_length);
        let mut blocks = Blocks::with_capacity(fields);
        let headers = headers.copy_into(&mut blocks);
        let trailers = trailers.map(|trailers| trailers.copy_into(&mut blocks));
        let pieces = Pieces::copied(pieces);
        let slot = OnceLock::new();
        Self(Arc::new(Answer { status, headers, pieces, trailers, times, origin, slot }))
    }

    /// The same entry without its body.
    #[cfg(feature = "cache-compression")]
    pub(super) fn shell(&self) -> Self {
        self.with_pieces(Pieces::default())
    }

    /// The same entry with another body.
    #[cfg(feature = "cache-compression")]
    pub(super) fn with_pieces(&self, pieces: Pieces) -> Self {
        let answer = &*self.0;
        Self(Arc::new(Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            pieces,
            trailers: answer.trailers.clone(),
            times: answer.times,
            origin: answer.origin.clone(),
            slot: OnceLock::new(),
        }))
    }

    /// Bytes of memory: of the body, of the fields, of the entry itself and of its places in the
    /// table and among those that are to leave. A test compares it with what an allocator counts.
    pub(super) fn weight(&self) -> u64 {
        // Of two tables that grow by doubling, and of the allocations' own heads.
        const OF_PLACES: usize = 512;
        let answer = &*self.0;
        let fields = answer.trailers.iter().chain([&answer.headers]);
        let fields: usize = fields.map(|fields| fields.weight() + fields.values_length()).sum();
        let tags = answer.origin.start.tags.len() * size_of::<Tag>();
        (size_of::<Answer>() + OF_PLACES + tags + fields + answer.pieces.weight()) as u64
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> usize {
        self.0.pieces.body.len()
    }

    /// Sets its place among those that are to leave, which it gives back with its memory. The first
    /// one stands.
    pub(super) fn set_slot(&self, slot: Slot) {
        let _second = self.0.slot.set(slot);
    }

    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.0.times.made)
    }

    pub(super) fn state(&self, now: Duration) -> State {
        let times = &self.0.times;
        if now < times.fresh_until {
            State::Fresh
        } else if now < times.revalidated_until {
            State::Stale
        } else if now < times.kept_until {
            State::LastResort
        } else {
            State::Over
        }
    }
}

impl std::ops::Deref for Entry {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.0
    }
}

impl fmt::Debug for Entry {
    // Without the bytes: they are somebody's completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("status", &self.0.status)
            .field("length", &self.length())
            .field("times", &self.0.times)
            .finish_non_exhaustive()
    }
}

// === impl Pieces ===

impl Pieces {
    fn copied<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut body = Vec::with_capacity(pieces.clone().map(<[u8]>::len).sum());
        let mut lengths = Vec::with_capacity(pieces.clone().count());
        for piece in pieces {
            body.extend_from_slice(piece);
            // One of 4 GiB and more comes again as several.
            let mut left = piece.len();
            while let Err(_too_long) = u32::try_from(left) {
                lengths.push(u32::MAX);
                left -= u32::MAX as usize;
            }
            lengths.extend(u32::try_from(left));
        }
        Self { body: body.into(), lengths: lengths.into() }
    }

    /// `None` when the lengths are not those of a whole body.
    #[cfg(feature = "cache-compression")]
    pub(super) fn from_parts(body: Bytes, lengths: Box<[u32]>) -> Option<Self> {
        let length = lengths.iter().try_fold(0_usize, |sum, one| sum.checked_add(*one as usize))?;
        (length == body.len()).then_some(Self { body, lengths })
    }

    pub(super) const fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) const fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// A piece by its number, which begins where the ones before it end.
    pub(super) fn get(&self, number: usize, start: usize) -> Option<Bytes> {
        let end = start.checked_add(*self.lengths.get(number)? as usize)?;
        (end <= self.body.len()).then(|| self.body.slice(start..end))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Bytes> {
        let mut rest = self.body.clone();
        self.lengths.iter().map(move |length| rest.split_to(*length as usize))
    }

    fn weight(&self) -> usize {
        self.body.len() + size_of_val(&*self.lengths)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::{HeaderValue, header::ETAG};

    use super::*;

    pub(in crate::cache) fn entry(pieces: &[Bytes], fresh_until: u64) -> Entry {
        let seconds = Duration::from_secs;
        let times = Times {
            made: seconds(0),
            fresh_until: seconds(fresh_until),
            revalidated_until: seconds(fresh_until + 10),
            kept_until: seconds(fresh_until + 20),
        };
        let headers = Fields::default();
        let start = Start { begun: 0, tags: Arc::default() };
        let origin = Origin { counters: Arc::default(), start, cost: Cost::default() };
        let pieces = pieces.iter().map(|piece| &**piece);
        Entry::new((StatusCode::OK, &headers), (pieces, None), times, origin)
    }

    #[test]
    fn an_entry_keeps_pieces_and_fields_and_not_their_buffers() {
        let buffer = Bytes::from(vec![b'7'; 64 * 1024]);
        let pieces = [buffer.slice(..3), buffer.slice(10..10), buffer.slice(100..105)];
        let value = HeaderValue::from_maybe_shared(buffer.slice(200..300)).unwrap();
        let fields = Fields::from_iter([(ETAG, value)]);
        let entry = entry(&[], 1);
        let (times, origin) = (entry.times, entry.origin.clone());
        let told = pieces.iter().map(|piece| &**piece);
        let entry = Entry::new((StatusCode::OK, &fields), (told, Some(&fields)), times, origin);
        assert!(entry.pieces.iter().eq(pieces.iter().cloned()));
        assert_eq!(entry.length(), 8);
        let trailers = entry.trailers.as_ref().unwrap();
        assert_eq!((trailers.to_map(0), entry.headers.len()), (fields.to_map(0), 1));
        drop((pieces, fields));
        assert!(buffer.is_unique());
    }

    #[test]
    fn an_entry_grows_stale_and_ends() {
        let entry = entry(&[], 60);
        let at = |seconds| entry.state(Duration::from_secs(seconds));
        assert_eq!([at(0), at(59)], [State::Fresh; 2]);
        assert_eq!([at(60), at(69)], [State::Stale; 2]);
        assert_eq!([at(70), at(79)], [State::LastResort; 2]);
        assert_eq!(at(80), State::Over);
        assert_eq!(entry.age(Duration::from_secs(61)), Duration::from_secs(61));
    }
}
