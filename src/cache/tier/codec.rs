//! Encodes and decodes entries.
//!
//! ```text
//! version u8, status u16, written u64, age u64, fresh u64, revalidate u64, expires u64,
//! tokens u64, time u64,
//! epochs: count u32, each (has tag u8, tag u64, epoch 16 bytes); headers;
//! has trailers u8, trailers;
//! chunks: count u32, each length u32; their bytes
//! ```
//!
//! Numbers are big-endian and times are milliseconds. `written` is the wall time since 1970 of the
//! replica that wrote the entry. All other times are durations, because the monotonic clocks of
//! replicas differ. Headers are a count u32 and for each header: sensitive u8, length of the name
//! u16, name, length of the value u32, value.
//!
//! The input is authenticated before. It is bounded and checked nevertheless.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::{
    cache::{
        counts::CallCost,
        entry::{Entry, HeaderList, Lifetime, Origin, ResponseFacts},
        key::{Tag, Validity},
    },
    clock::SharedClock,
};

/// A random number that each invalidation of a tag replaces.
pub(super) type Epoch = [u8; 16];

/// The epochs of an entry by their tags. `None` is the epoch of all entries.
pub(super) type Epochs = Vec<(Option<Tag>, Epoch)>;

/// The time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) monotonic: Duration,
    /// Since 1970.
    pub(super) wall: Duration,
}

impl Clocks {
    pub(super) fn now(clock: &SharedClock) -> Self {
        let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { monotonic: monotonic(clock), wall }
    }
}

/// Returns the monotonic time of entries. It begins [`MAX_LIFE`] before the process, so that older
/// entries have their age.
pub(crate) fn monotonic(clock: &SharedClock) -> Duration {
    clock.monotonic().saturating_add(MAX_LIFE)
}

/// The version of the layout. Change it with each change of the layout or of its meaning.
const VERSION: u8 = 1;

/// The maximum life of a value in a tier.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The maximum difference between the wall clocks of two replicas.
pub(super) const MAX_AHEAD: Duration = Duration::from_secs(5);

const MAX_EPOCHS: usize = 64;
const MAX_HEADERS: usize = 1_024;

/// Encodes an entry. Returns `None` if it has expired or takes more than `max_length` bytes.
pub(super) fn encode(
    entry: &Entry,
    epochs: &Epochs,
    now: Clocks,
    max_length: usize,
) -> Option<Vec<u8>> {
    let lifetime = &entry.lifetime;
    let left = |until: Duration| until.saturating_sub(now.monotonic).min(MAX_LIFE);
    if lifetime.expires <= now.monotonic || epochs.len() > MAX_EPOCHS || entry.length() > max_length
    {
        return None;
    }
    let mut into = Vec::with_capacity(entry.length() + 1_024);
    into.put_u8(VERSION);
    into.put_u16(entry.status.as_u16());
    put_time(&mut into, now.wall);
    put_time(&mut into, entry.age(now.monotonic));
    put_time(&mut into, left(lifetime.fresh_until));
    put_time(&mut into, left(lifetime.revalidate_until));
    put_time(&mut into, left(lifetime.expires));
    into.put_u64(entry.origin.cost.tokens);
    put_time(&mut into, entry.origin.cost.time);
    put_count(&mut into, epochs.len())?;
    for (tag, epoch) in epochs {
        into.put_u8(u8::from(tag.is_some()));
        into.put_u64(tag.map_or(0, |Tag(tag)| tag));
        into.put_slice(epoch);
    }
    put_headers(&mut into, &entry.headers)?;
    into.put_u8(u8::from(entry.trailers.is_some()));
    if let Some(trailers) = &entry.trailers {
        put_headers(&mut into, trailers)?;
    }
    put_count(&mut into, entry.body.lengths().len())?;
    entry.body.lengths().iter().for_each(|length| into.put_u32(*length));
    into.put_slice(entry.body.bytes());
    (into.len() <= max_length).then_some(into)
}

/// Decodes an entry. Returns `None` if it is invalid, from the future or expired. The clock of
/// `origin`'s validity and its counters are those of this process.
pub(super) fn decode(mut from: Bytes, now: Clocks, origin: &Origin) -> Option<(Entry, Epochs)> {
    let from = &mut from;
    if from.try_get_u8().ok()? != VERSION {
        return None;
    }
    let status = StatusCode::from_u16(from.try_get_u16().ok()?).ok()?;
    let written = time(from)?;
    if written > now.wall.saturating_add(MAX_AHEAD) {
        return None;
    }
    let since = now.wall.saturating_sub(written);
    let created = now.monotonic.saturating_sub(time(from)?).saturating_sub(since);
    let [fresh, revalidate, expires] = [time(from)?, time(from)?, time(from)?];
    if expires <= since || expires > MAX_LIFE || fresh.max(revalidate) > expires {
        return None;
    }
    let until = |left: Duration| now.monotonic.saturating_add(left).saturating_sub(since);
    let lifetime = Lifetime {
        created,
        fresh_until: until(fresh),
        revalidate_until: until(revalidate),
        expires: until(expires),
    };
    let cost = CallCost { tokens: from.try_get_u64().ok()?, time: time(from)? };
    let epochs = (0..count(from, MAX_EPOCHS)?).map(|_| epoch(from)).collect::<Option<Epochs>>()?;
    let headers = headers(from)?;
    let trailers = match from.try_get_u8().ok()? {
        0 => None,
        1 => Some(self::headers(from)?),
        _ => return None,
    };
    let chunks = count(from, usize::MAX)?;
    // The slices take eight times their lengths, which are in the input. It bounds them.
    let mut lengths = take(from, chunks.checked_mul(4)?)?;
    let chunks = (0..chunks).map(|_| chunk(&mut lengths, from)).collect::<Option<Vec<_>>>()?;
    if from.has_remaining() {
        return None;
    }
    let tags = epochs.iter().filter_map(|(tag, _)| *tag).collect();
    let validity = Validity { since: origin.validity.since, tags };
    // The tap that has read it was in another process.
    let facts = ResponseFacts::read(status, &headers.to_map(0), chunks.iter());
    let origin =
        Origin { counters: Arc::clone(&origin.counters), validity, cost, facts, served: None };
    let chunks = chunks.iter().map(|chunk| &**chunk);
    let head = (status, &headers);
    Some((Entry::new(head, (chunks, trailers.as_ref()), lifetime, origin), epochs))
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

fn count(from: &mut Bytes, max: usize) -> Option<usize> {
    let count = usize::try_from(from.try_get_u32().ok()?).ok()?;
    (count <= max).then_some(count)
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

fn put_headers(into: &mut Vec<u8>, headers: &HeaderList) -> Option<()> {
    if headers.len() > MAX_HEADERS {
        return None;
    }
    put_count(into, headers.len())?;
    for (name, value) in headers.iter() {
        into.put_u8(u8::from(value.is_sensitive()));
        into.put_u16(u16::try_from(name.as_str().len()).ok()?);
        into.put_slice(name.as_str().as_bytes());
        put_count(into, value.len())?;
        into.put_slice(value.as_bytes());
    }
    Some(())
}

fn headers(from: &mut Bytes) -> Option<HeaderList> {
    (0..count(from, MAX_HEADERS)?).map(|_| header(from)).collect()
}

fn header(from: &mut Bytes) -> Option<(HeaderName, HeaderValue)> {
    let sensitive = from.try_get_u8().ok()?;
    let length = from.try_get_u16().ok()?;
    let name = HeaderName::from_bytes(&take(from, length.into())?).ok()?;
    let length = usize::try_from(from.try_get_u32().ok()?).ok()?;
    // The entry copies this slice.
    let mut value = HeaderValue::from_maybe_shared(take(from, length)?).ok()?;
    value.set_sensitive(sensitive == 1);
    Some((name, value))
}

fn chunk(lengths: &mut Bytes, from: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(lengths.try_get_u32().ok()?).ok()?;
    take(from, length)
}

fn take(from: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= from.len()).then(|| from.split_to(length))
}

#[cfg(test)]
mod tests;
