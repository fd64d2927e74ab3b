//! An answer that is kept.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::{
    counts::{Cost, Counters},
    generation::Start,
};

/// Which of the forms of one answer it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Variant {
    /// At once.
    Plain,
    /// By an event stream.
    Stream,
    /// By an event stream that ends with its usage.
    StreamWithUsage,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Stream, Self::StreamWithUsage];
}

/// A whole answer. Clones are the same one.
#[derive(Clone)]
pub(super) struct Entry(Arc<Answer>);

pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Without those that are for one hop or one caller.
    pub(super) headers: HeaderMap,
    /// As they came.
    pub(super) pieces: Box<[Bytes]>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) times: Times,
    pub(super) origin: Origin,
    length: usize,
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
    pub(super) fn new(
        (status, headers): (StatusCode, HeaderMap),
        (pieces, trailers): (&[Bytes], Option<HeaderMap>),
        times: Times,
        origin: Origin,
    ) -> Self {
        let pieces = packed(pieces);
        let length = pieces.iter().map(Bytes::len).sum();
        Self(Arc::new(Answer { status, headers, pieces, trailers, times, origin, length }))
    }

    /// The same with another body, in memory of its own.
    #[cfg(feature = "cache-compression")]
    pub(super) fn with_pieces(&self, pieces: Box<[Bytes]>) -> Self {
        let answer = &*self.0;
        Self(Arc::new(Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            length: pieces.iter().map(Bytes::len).sum(),
            pieces,
            trailers: answer.trailers.clone(),
            times: answer.times,
            origin: answer.origin.clone(),
        }))
    }

    /// Bytes of memory, about: of the body, of the fields with their places in the map, and of the
    /// entry itself.
    pub(super) fn weight(&self) -> u64 {
        const OF_ENTRY: usize = 512;
        const OF_PIECE: usize = size_of::<Bytes>();
        const OF_FIELD: usize = 128;
        let answer = &*self.0;
        let all = answer.trailers.iter().chain([&answer.headers]).flatten();
        let fields: usize = all.map(|(_, value)| value.len() + OF_FIELD).sum();
        (OF_ENTRY + answer.length + answer.pieces.len() * OF_PIECE + fields) as u64
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> usize {
        self.0.length
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
            .field("length", &self.0.length)
            .field("times", &self.0.times)
            .finish_non_exhaustive()
    }
}

/// The same pieces in memory of their own, as long as they are together: pieces are slices of what
/// the connection read, and would keep all of that.
fn packed(pieces: &[Bytes]) -> Box<[Bytes]> {
    let mut memory = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| memory.extend_from_slice(piece));
    let mut memory = memory.freeze();
    pieces.iter().map(|piece| memory.split_to(piece.len())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cache) fn entry(pieces: &[Bytes], fresh_until: u64) -> Entry {
        let seconds = Duration::from_secs;
        let times = Times {
            made: seconds(0),
            fresh_until: seconds(fresh_until),
            revalidated_until: seconds(fresh_until + 10),
            kept_until: seconds(fresh_until + 20),
        };
        let head = (StatusCode::OK, HeaderMap::new());
        let start = Start { begun: 0, tags: Arc::default() };
        let origin = Origin { counters: Arc::default(), start, cost: Cost::default() };
        Entry::new(head, (pieces, None), times, origin)
    }

    #[test]
    fn pieces_keep_their_bounds_and_not_their_buffers() {
        let buffer = Bytes::from(vec![7; 64 * 1024]);
        let pieces = [buffer.slice(..3), buffer.slice(10..10), buffer.slice(100..105)];
        let entry = entry(&pieces, 1);
        assert_eq!(entry.pieces[..], pieces[..]);
        assert_eq!(entry.length(), 8);
        drop(pieces);
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
