//! An entry as bytes, and back.
//!
//! ```text
//! version u8, status u16, written u64, age u64, fresh u64, revalidated u64, kept u64,
//! tokens u64, time u64,
//! epochs: count u32, each (tag u64, epoch 16 bytes); fields; has trailers u8, fields;
//! pieces: count u32, each length u32; their bytes
//! ```
//!
//! Numbers are big-endian, times are milliseconds. `written` is since 1970, by the clock of whoever
//! wrote it; all other times are durations, since monotonic clocks have nothing in common. Fields
//! are a count u32, and each (sensitive u8, length of the name u16, name, length of the value u32,
//! value).
//!
//! What is read has been authenticated before; it is bounded and checked all the same.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderName, HeaderValue, StatusCode};

use super::{
    counts::Cost,
    entry::{Entry, Origin, Times},
    fields::Fields,
    generation::{Start, Tag},
};
use crate::clock::SharedClock;

/// When a tag was invalidated last: a random number that is another one ever after.
pub(super) type Epoch = [u8; 16];

/// The epochs that an entry was begun in. Without a tag: that of all.
pub(super) type Epochs = Vec<(Option<Tag>, Epoch)>;

/// The time by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    /// Since 1970.
    pub(super) wall: Duration,
}

impl Now {
    pub(super) fn of(clock: &SharedClock) -> Self {
        let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { monotonic: monotonic(clock), wall }
    }
}

/// The time of all entries. It began so much before the process did that what was made before has
/// its age.
pub(super) fn monotonic(clock: &SharedClock) -> Duration {
    clock.monotonic().saturating_add(MOST_LIFE)
}

/// Changes whenever the layout does, or what it means.
const VERSION: u8 = 1;

/// For longer nothing is kept in a tier.
pub(super) const MOST_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// As far may the clocks of two replicas differ. What was written later than that is none.
pub(super) const MOST_AHEAD: Duration = Duration::from_secs(5);

const MOST_EPOCHS: usize = 64;
const MOST_FIELDS: usize = 1_024;

/// `None` when it is not to be kept anywhere else: over, for too long, or longer than `most` bytes.
pub(super) fn encode(entry: &Entry, epochs: &Epochs, now: Now, most: usize) -> Option<Vec<u8>> {
    let times = &entry.times;
    let left = |until: Duration| until.saturating_sub(now.monotonic).min(MOST_LIFE);
    if times.kept_until <= now.monotonic || epochs.len() > MOST_EPOCHS || entry.length() > most {
        return None;
    }
    let mut into = Vec::with_capacity(entry.length() + 1_024);
    into.put_u8(VERSION);
    into.put_u16(entry.status.as_u16());
    put_time(&mut into, now.wall);
    put_time(&mut into, entry.age(now.monotonic));
    put_time(&mut into, left(times.fresh_until));
    put_time(&mut into, left(times.revalidated_until));
    put_time(&mut into, left(times.kept_until));
    into.put_u64(entry.origin.cost.tokens);
    put_time(&mut into, entry.origin.cost.time);
    put_count(&mut into, epochs.len())?;
    for (tag, epoch) in epochs {
        into.put_u8(u8::from(tag.is_some()));
        into.put_u64(tag.map_or(0, |Tag(tag)| tag));
        into.put_slice(epoch);
    }
    put_fields(&mut into, &entry.headers)?;
    into.put_u8(u8::from(entry.trailers.is_some()));
    if let Some(trailers) = &entry.trailers {
        put_fields(&mut into, trailers)?;
    }
    put_count(&mut into, entry.pieces.lengths().len())?;
    entry.pieces.lengths().iter().for_each(|length| into.put_u32(*length));
    into.put_slice(entry.pieces.body());
    (into.len() <= most).then_some(into)
}

/// `None` when it is not an entry, was written in the future, or is over. `asker` is where it would
/// come from if it were not there: its clock of generations and its counters are this process' own.
pub(super) fn decode(mut from: Bytes, now: Now, asker: &Origin) -> Option<(Entry, Epochs)> {
    let from = &mut from;
    if from.try_get_u8().ok()? != VERSION {
        return None;
    }
    let status = StatusCode::from_u16(from.try_get_u16().ok()?).ok()?;
    let written = time(from)?;
    if written > now.wall.saturating_add(MOST_AHEAD) {
        return None;
    }
    let since = now.wall.saturating_sub(written);
    let made = now.monotonic.saturating_sub(time(from)?).saturating_sub(since);
    let [fresh, revalidated, kept] = [time(from)?, time(from)?, time(from)?];
    if kept <= since || kept > MOST_LIFE || fresh.max(revalidated) > kept {
        return None;
    }
    let until = |left: Duration| now.monotonic.saturating_add(left).saturating_sub(since);
    let times = Times {
        made,
        fresh_until: until(fresh),
        revalidated_until: until(revalidated),
        kept_until: until(kept),
    };
    let cost = Cost { tokens: from.try_get_u64().ok()?, time: time(from)? };
    let epochs = (0..count(from, MOST_EPOCHS)?).map(|_| epoch(from)).collect::<Option<Epochs>>()?;
    let headers = fields(from)?;
    let trailers = match from.try_get_u8().ok()? {
        0 => None,
        1 => Some(fields(from)?),
        _ => return None,
    };
    let pieces = count(from, usize::MAX)?;
    // What they take here is eight times their lengths, so bounded by what is read.
    let mut lengths = take(from, pieces.checked_mul(4)?)?;
    let pieces = (0..pieces).map(|_| piece(&mut lengths, from)).collect::<Option<Vec<_>>>()?;
    if from.has_remaining() {
        return None;
    }
    let tags = epochs.iter().filter_map(|(tag, _)| *tag).collect();
    let start = Start { begun: asker.start.begun, tags };
    let origin = Origin { counters: Arc::clone(&asker.counters), start, cost };
    let pieces = pieces.iter().map(|piece| &**piece);
    let head = (status, &headers);
    Some((Entry::new(head, (pieces, trailers.as_ref()), times, origin), epochs))
}

fn put_time(into: &mut Vec<u8>, time: Duration) {
    into.put_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

fn time(from: &mut Bytes) -> Option<Duration> {
    from.try_get_u64().ok().map(Duration::from_millis)
}

fn put_count(into: &mut Vec<u8>, count: usize) -> Option<()> {
    into.put_u32(u32::try_from(count).ok()?);
    Some(())
}

fn count(from: &mut Bytes, most: usize) -> Option<usize> {
    let count = usize::try_from(from.try_get_u32().ok()?).ok()?;
    (count <= most).then_some(count)
}

fn epoch(from: &mut Bytes) -> Option<(Option<Tag>, Epoch)> {
    let has_tag = from.try_get_u8().ok()?;
    let tag = from.try_get_u64().ok()?;
    let mut epoch = Epoch::default();
    from.try_copy_to_slice(&mut epoch).ok()?;
    match (has_tag, tag) {
        (0, 0) => Some((None, epoch)),
        (1, tag) => Some((Some(Tag(tag)), epoch)),
        _ => None,
    }
}

fn put_fields(into: &mut Vec<u8>, fields: &Fields) -> Option<()> {
    if fields.len() > MOST_FIELDS {
        return None;
    }
    put_count(into, fields.len())?;
    for (name, value) in fields.iter() {
        into.put_u8(u8::from(value.is_sensitive()));
        into.put_u16(u16::try_from(name.as_str().len()).ok()?);
        into.put_slice(name.as_str().as_bytes());
        put_count(into, value.len())?;
        into.put_slice(value.as_bytes());
    }
    Some(())
}

fn fields(from: &mut Bytes) -> Option<Fields> {
    (0..count(from, MOST_FIELDS)?).map(|_| field(from)).collect()
}

fn field(from: &mut Bytes) -> Option<(HeaderName, HeaderValue)> {
    let sensitive = from.try_get_u8().ok()?;
    let length = from.try_get_u16().ok()?;
    let name = HeaderName::from_bytes(&take(from, length.into())?).ok()?;
    let length = usize::try_from(from.try_get_u32().ok()?).ok()?;
    // A slice, which the entry copies.
    let mut value = HeaderValue::from_maybe_shared(take(from, length)?).ok()?;
    value.set_sensitive(sensitive == 1);
    Some((name, value))
}

fn piece(lengths: &mut Bytes, from: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(lengths.try_get_u32().ok()?).ok()?;
    take(from, length)
}

fn take(from: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= from.len()).then(|| from.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use http::HeaderMap;

    use super::*;
    use crate::cache::entry::State;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A process that began 500 s ago, at this time of day.
    const NOW: Now = Now { monotonic: seconds(500), wall: seconds(1_763_900_000) };

    fn origin(begun: u64, tags: Arc<[Tag]>) -> Origin {
        let start = Start { begun, tags };
        Origin { counters: Arc::default(), start, cost: Cost::default() }
    }

    fn asker(begun: u64) -> Origin {
        origin(begun, Arc::default())
    }

    fn entry(pieces: &[&'static [u8]], trailers: Option<HeaderMap>) -> Entry {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/event-stream"));
        headers.append("x-two", HeaderValue::from_bytes(b"\xffone").unwrap());
        headers.append("x-two", HeaderValue::from_static(""));
        let mut hidden = HeaderValue::from_static("hidden");
        hidden.set_sensitive(true);
        headers.append("x-hidden", hidden);
        let times = Times {
            made: seconds(470),
            fresh_until: seconds(560),
            revalidated_until: seconds(570),
            kept_until: seconds(600),
        };
        let cost = Cost { tokens: 42, time: Duration::from_millis(1_500) };
        let origin = Origin { cost, ..origin(3, [Tag(1), Tag(2)].into()) };
        let head = (StatusCode::CREATED, &Fields::from(&headers));
        let trailers = trailers.as_ref().map(Fields::from);
        Entry::new(head, (pieces.iter().copied(), trailers.as_ref()), times, origin)
    }

    fn epochs() -> Epochs {
        vec![(None, [0; 16]), (Some(Tag(1)), [1; 16]), (Some(Tag(u64::MAX)), [2; 16])]
    }

    fn encoded() -> Bytes {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", HeaderValue::from_static("t"));
        let entry = entry(&[b"data: 1\n\n", b"", b"data: [DONE]\n\n"], Some(trailers));
        encode(&entry, &epochs(), NOW, 1 << 20).unwrap().into()
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let (entry, told) = decode(encoded(), NOW, &asker(9)).unwrap();
        assert_eq!(told, epochs());
        assert!(entry.pieces.iter().eq([&b"data: 1\n\n"[..], b"", b"data: [DONE]\n\n"]));
        assert_eq!((entry.status, entry.origin.start.begun), (StatusCode::CREATED, 9));
        assert_eq!(entry.origin.start.tags[..], [Tag(1), Tag(u64::MAX)]);
        let cost = entry.origin.cost;
        assert_eq!((cost.tokens, cost.time), (42, Duration::from_millis(1_500)));
        let headers = entry.headers.to_map(0);
        let two: Vec<_> = headers.get_all("x-two").iter().collect();
        assert_eq!(two, [&b"\xffone"[..], b""]);
        assert!(headers["x-hidden"].is_sensitive());
        assert!(!headers["content-type"].is_sensitive());
        assert_eq!(entry.trailers.as_ref().unwrap().to_map(0)["x-trailer"], "t");
        assert_eq!(entry.times.fresh_until, seconds(560));
        assert_eq!(entry.times.made, seconds(470));
    }

    #[test]
    fn times_go_on_by_the_clock_of_the_day() {
        // Read 70 s later, by a process that has run for 1,000 s.
        let later = Now { monotonic: seconds(1_000), wall: NOW.wall + seconds(70) };
        let (entry, _) = decode(encoded(), later, &asker(0)).unwrap();
        assert_eq!(entry.age(later.monotonic), seconds(100));
        assert_eq!(entry.state(later.monotonic), State::LastResort);
        assert_eq!(entry.times.kept_until, seconds(1_030));
        let over = Now { wall: NOW.wall + seconds(100), ..later };
        assert!(decode(encoded(), over, &asker(0)).is_none());
        let last = Now { wall: NOW.wall + seconds(99), ..later };
        assert!(decode(encoded(), last, &asker(0)).is_some());
        // By one that has just begun, and has not been there when the answer was made.
        let young = Now { monotonic: seconds(0), ..last };
        assert_eq!(decode(encoded(), young, &asker(0)).unwrap().0.times.kept_until, seconds(1));
    }

    #[test]
    fn what_was_written_in_the_future_is_nothing() {
        let earlier = |by: u64| Now { wall: NOW.wall - seconds(by), ..NOW };
        let (entry, _) = decode(encoded(), earlier(5), &asker(0)).unwrap();
        // No longer fresh than it was then.
        assert_eq!(entry.times.fresh_until, seconds(560));
        assert!(decode(encoded(), earlier(6), &asker(0)).is_none());
        assert!(decode(encoded(), Now { wall: seconds(0), ..NOW }, &asker(0)).is_none());
    }

    #[test]
    fn what_is_over_or_too_long_is_not_written() {
        let entry = entry(&[b"12345"], None);
        let length = encode(&entry, &epochs(), NOW, 1 << 20).unwrap().len();
        assert!(encode(&entry, &epochs(), NOW, length).is_some());
        for most in [0, 4, 5, length - 1] {
            assert!(encode(&entry, &epochs(), NOW, most).is_none(), "{most}");
        }
        let over = Now { monotonic: seconds(600), ..NOW };
        assert!(encode(&entry, &epochs(), over, 1 << 20).is_none());
        assert!(encode(&entry, &vec![(None, [0; 16]); 65], NOW, 1 << 20).is_none());
    }

    #[test]
    fn what_is_cut_or_longer_is_nothing() {
        let whole = encoded();
        for length in 0..whole.len() {
            assert!(decode(whole.slice(..length), NOW, &asker(0)).is_none(), "{length}");
        }
        assert!(decode([&whole[..], b"\0"].concat().into(), NOW, &asker(0)).is_none());
    }

    /// Wherever a length stands, and whatever it says.
    #[test]
    fn hostile_lengths_are_harmless() {
        let whole = encoded();
        let allocated = allocation_counter::measure(|| {
            for at in 0..whole.len() - 4 {
                for length in [u32::MAX, i32::MAX as u32, 1 << 16, whole.len() as u32, 0] {
                    let mut hostile = whole.to_vec();
                    hostile[at..at + 4].copy_from_slice(&length.to_be_bytes());
                    let _any = decode(hostile.into(), NOW, &asker(0));
                }
            }
        });
        assert!(allocated.bytes_max < 1 << 20, "{}", allocated.bytes_max);
    }

    fn some_fields() -> impl Strategy<Value = HeaderMap> {
        vec(("[a-z][a-z0-9-]{0,20}", "[ -~]{0,40}"), 0..8).prop_map(|fields| {
            let name = |name: String| HeaderName::try_from(name).unwrap();
            let value = |value: String| HeaderValue::try_from(value).unwrap();
            fields.into_iter().map(|(n, v)| (name(n), value(v))).collect()
        })
    }

    proptest! {
        #[test]
        fn any_entry_comes_back(
            status in 200_u16..300,
            (headers, trailers) in (some_fields(), option::of(some_fields())),
            pieces in vec(vec(any::<u8>(), 0..40), 0..20),
            [fresh, more, most] in any::<[u16; 3]>(),
            told in vec((option::of(any::<u64>()), any::<Epoch>()), 0..6),
        ) {
            let at = |plus: u16| NOW.monotonic + seconds(plus.into());
            let times = Times {
                made: seconds(500),
                fresh_until: at(fresh),
                revalidated_until: at(more),
                kept_until: at(fresh.max(more).max(most)) + seconds(1),
            };
            let told: Epochs = told.into_iter().map(|(tag, epoch)| (tag.map(Tag), epoch)).collect();
            let tags = told.iter().filter_map(|(tag, _)| *tag).collect();
            let origin = origin(0, tags);
            let status = StatusCode::from_u16(status).unwrap();
            let head = (status, &Fields::from(&headers));
            let told_trailers = trailers.as_ref().map(Fields::from);
            let slices = pieces.iter().map(|piece| &**piece);
            let entry = Entry::new(head, (slices, told_trailers.as_ref()), times, origin);
            let bytes = encode(&entry, &told, NOW, 1 << 20).unwrap();
            let (back, epochs) = decode(bytes.into(), NOW, &asker(0)).unwrap();
            prop_assert_eq!(epochs, told);
            prop_assert_eq!(back.times, times);
            prop_assert!(back.pieces.iter().eq(pieces));
            prop_assert_eq!((back.status, back.headers.to_map(0)), (status, headers));
            prop_assert_eq!(back.trailers.as_ref().map(|fields| fields.to_map(0)), trailers);
            prop_assert_eq!(&back.origin.start.tags, &entry.origin.start.tags);
        }

        #[test]
        fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..600), version in any::<bool>()) {
            let mut bytes = bytes;
            if let (true, Some(first)) = (version, bytes.first_mut()) {
                *first = VERSION;
            }
            let _any = decode(bytes.into(), NOW, &asker(0));
        }

        #[test]
        fn no_change_does_harm(at in any::<prop::sample::Index>(), to in any::<[u8; 8]>()) {
            let mut bytes = encoded().to_vec();
            let at = at.index(bytes.len());
            for (byte, to) in bytes[at..].iter_mut().zip(to) {
                *byte = to;
            }
            let _any = decode(bytes.into(), NOW, &asker(0));
        }
    }
}
