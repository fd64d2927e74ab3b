use proptest::{collection::vec, option, prelude::*};

use http::HeaderMap;

use super::*;
use crate::cache::entry::EntryState;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The clocks of a process that began 500 s ago.
const NOW: Clocks = Clocks { monotonic: seconds(500), wall: seconds(1_763_900_000) };

fn origin(since: u64, tags: Arc<[Tag]>) -> Origin {
    let validity = Validity { since, tags };
    let (cost, facts) = (CallCost::default(), ResponseFacts::default());
    Origin { counters: Arc::default(), validity, cost, facts, served: None }
}

fn ours(since: u64) -> Origin {
    origin(since, Arc::default())
}

fn entry(chunks: &[&'static [u8]], trailers: Option<HeaderMap>) -> Entry {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("text/event-stream"));
    headers.append("x-two", HeaderValue::from_bytes(b"\xffone").unwrap());
    headers.append("x-two", HeaderValue::from_static(""));
    let mut hidden = HeaderValue::from_static("hidden");
    hidden.set_sensitive(true);
    headers.append("x-hidden", hidden);
    let lifetime = Lifetime {
        created: seconds(470),
        fresh_until: seconds(560),
        revalidate_until: seconds(570),
        expires: seconds(600),
    };
    let cost = CallCost { tokens: 42, time: Duration::from_millis(1_500) };
    let origin = Origin { cost, ..origin(3, [Tag(1), Tag(2)].into()) };
    let head = (StatusCode::CREATED, &HeaderList::from(&headers));
    let trailers = trailers.as_ref().map(HeaderList::from);
    Entry::new(head, (chunks.iter().copied(), trailers.as_ref()), lifetime, origin)
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
fn an_entry_survives_encoding() {
    let (entry, decoded) = decode(encoded(), NOW, &ours(9)).unwrap();
    assert_eq!(decoded, epochs());
    assert!(entry.body.iter().eq([&b"data: 1\n\n"[..], b"", b"data: [DONE]\n\n"]));
    assert_eq!((entry.status, entry.origin.validity.since), (StatusCode::CREATED, 9));
    assert_eq!(entry.origin.validity.tags[..], [Tag(1), Tag(u64::MAX)]);
    let cost = entry.origin.cost;
    assert_eq!((cost.tokens, cost.time), (42, Duration::from_millis(1_500)));
    let headers = entry.headers.to_map(0);
    let two: Vec<_> = headers.get_all("x-two").iter().collect();
    assert_eq!(two, [&b"\xffone"[..], b""]);
    assert!(headers["x-hidden"].is_sensitive());
    assert!(!headers["content-type"].is_sensitive());
    assert_eq!(entry.trailers.as_ref().unwrap().to_map(0)["x-trailer"], "t");
    assert_eq!(entry.lifetime.fresh_until, seconds(560));
    assert_eq!(entry.lifetime.created, seconds(470));
}

#[test]
fn times_advance_with_the_wall_clock() {
    // Decoded 70 s later by a process that has run for 1,000 s.
    let later = Clocks { monotonic: seconds(1_000), wall: NOW.wall + seconds(70) };
    let (entry, _) = decode(encoded(), later, &ours(0)).unwrap();
    assert_eq!(entry.age(later.monotonic), seconds(100));
    assert_eq!(entry.state(later.monotonic), EntryState::ErrorFallback);
    assert_eq!(entry.lifetime.expires, seconds(1_030));
    let over = Clocks { wall: NOW.wall + seconds(100), ..later };
    assert!(decode(encoded(), over, &ours(0)).is_none());
    let last = Clocks { wall: NOW.wall + seconds(99), ..later };
    assert!(decode(encoded(), last, &ours(0)).is_some());
    // Decoded by a process that began after the response was created.
    let young = Clocks { monotonic: seconds(0), ..last };
    assert_eq!(decode(encoded(), young, &ours(0)).unwrap().0.lifetime.expires, seconds(1));
}

#[test]
fn an_entry_from_the_future_is_invalid() {
    let earlier = |by: u64| Clocks { wall: NOW.wall - seconds(by), ..NOW };
    let (entry, _) = decode(encoded(), earlier(5), &ours(0)).unwrap();
    // The entry is not fresh any longer than it was.
    assert_eq!(entry.lifetime.fresh_until, seconds(560));
    assert!(decode(encoded(), earlier(6), &ours(0)).is_none());
    assert!(decode(encoded(), Clocks { wall: seconds(0), ..NOW }, &ours(0)).is_none());
}

#[test]
fn an_expired_or_long_entry_is_not_encoded() {
    let entry = entry(&[b"12345"], None);
    let length = encode(&entry, &epochs(), NOW, 1 << 20).unwrap().len();
    assert!(encode(&entry, &epochs(), NOW, length).is_some());
    for max_length in [0, 4, 5, length - 1] {
        assert!(encode(&entry, &epochs(), NOW, max_length).is_none(), "{max_length}");
    }
    let over = Clocks { monotonic: seconds(600), ..NOW };
    assert!(encode(&entry, &epochs(), over, 1 << 20).is_none());
    assert!(encode(&entry, &vec![(None, [0; 16]); 65], NOW, 1 << 20).is_none());
}

#[test]
fn a_truncated_or_longer_value_is_invalid() {
    let whole = encoded();
    for length in 0..whole.len() {
        assert!(decode(whole.slice(..length), NOW, &ours(0)).is_none(), "{length}");
    }
    assert!(decode([&whole[..], b"\0"].concat().into(), NOW, &ours(0)).is_none());
}

#[test]
fn hostile_lengths_are_harmless() {
    let whole = encoded();
    let allocated = allocation_counter::measure(|| {
        for at in 0..whole.len() - 4 {
            for length in [u32::MAX, i32::MAX as u32, 1 << 16, whole.len() as u32, 0] {
                let mut hostile = whole.to_vec();
                hostile[at..at + 4].copy_from_slice(&length.to_be_bytes());
                let _any = decode(hostile.into(), NOW, &ours(0));
            }
        }
    });
    assert!(allocated.bytes_max < 1 << 20, "{}", allocated.bytes_max);
}

fn some_headers() -> impl Strategy<Value = HeaderMap> {
    vec(("[a-z][a-z0-9-]{0,20}", "[ -~]{0,40}"), 0..8).prop_map(|headers| {
        let name = |name: String| HeaderName::try_from(name).unwrap();
        let value = |value: String| HeaderValue::try_from(value).unwrap();
        headers.into_iter().map(|(n, v)| (name(n), value(v))).collect()
    })
}

proptest! {
    #[test]
    fn any_entry_survives_encoding(
        status in 200_u16..300,
        (headers, trailers) in (some_headers(), option::of(some_headers())),
        chunks in vec(vec(any::<u8>(), 0..40), 0..20),
        [fresh, more, most] in any::<[u16; 3]>(),
        written in vec((option::of(any::<u64>()), any::<Epoch>()), 0..6),
    ) {
        let at = |plus: u16| NOW.monotonic + seconds(plus.into());
        let lifetime = Lifetime {
            created: seconds(500),
            fresh_until: at(fresh),
            revalidate_until: at(more),
            expires: at(fresh.max(more).max(most)) + seconds(1),
        };
        let written: Epochs = written.into_iter().map(|(tag, epoch)| (tag.map(Tag), epoch)).collect();
        let tags = written.iter().filter_map(|(tag, _)| *tag).collect();
        let origin = origin(0, tags);
        let status = StatusCode::from_u16(status).unwrap();
        let head = (status, &HeaderList::from(&headers));
        let trailer_list = trailers.as_ref().map(HeaderList::from);
        let slices = chunks.iter().map(|chunk| &**chunk);
        let entry = Entry::new(head, (slices, trailer_list.as_ref()), lifetime, origin);
        let bytes = encode(&entry, &written, NOW, 1 << 20).unwrap();
        let (back, epochs) = decode(bytes.into(), NOW, &ours(0)).unwrap();
        prop_assert_eq!(epochs, written);
        prop_assert_eq!(back.lifetime, lifetime);
        prop_assert!(back.body.iter().eq(chunks));
        prop_assert_eq!((back.status, back.headers.to_map(0)), (status, headers));
        prop_assert_eq!(back.trailers.as_ref().map(|list| list.to_map(0)), trailers);
        prop_assert_eq!(&back.origin.validity.tags, &entry.origin.validity.tags);
    }

    #[test]
    fn any_bytes_are_decoded_safely(bytes in vec(any::<u8>(), 0..600), version in any::<bool>()) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = VERSION;
        }
        let _any = decode(bytes.into(), NOW, &ours(0));
    }

    #[test]
    fn any_change_is_decoded_safely(at in any::<prop::sample::Index>(), to in any::<[u8; 8]>()) {
        let mut bytes = encoded().to_vec();
        let at = at.index(bytes.len());
        for (byte, to) in bytes[at..].iter_mut().zip(to) {
            *byte = to;
        }
        let _any = decode(bytes.into(), NOW, &ours(0));
    }
}
