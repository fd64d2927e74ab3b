//! Server-sent events: framing and meaning do not depend on how a stream is cut.

#[path = "support/conformance.rs"]
mod conformance;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tower_inference::sse::{Decoder, Frame, Framer};

/// Type, data and last event id.
type Seen = (String, Vec<u8>, String);

/// What a stream, cut into these chunks, comes to; the frames must add up to it.
fn run(mut framer: Framer, chunks: &[&[u8]]) -> (Vec<Seen>, Vec<Frame>, Decoder) {
    let mut decoder = Decoder::new();
    let (mut events, mut frames) = (Vec::new(), Vec::new());
    for chunk in chunks {
        frames.extend(framer.push(Bytes::copy_from_slice(chunk)));
    }
    for frame in &frames {
        if let Some(event) = decoder.decode(frame) {
            let id = event.last_event_id().to_owned();
            events.push((event.event_type().to_owned(), event.data().to_vec(), id));
        }
    }
    let mut whole: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes().to_vec()).collect();
    whole.extend_from_slice(&framer.finish());
    assert_eq!(whole, chunks.concat(), "frames and rest are the input");
    (events, frames, decoder)
}

fn events(chunks: &[&[u8]]) -> Vec<Seen> {
    run(Framer::new(), chunks).0
}

/// Whole, cut once at every byte, and byte by byte.
fn every_cut(stream: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    (0..=stream.len())
        .map(|at| vec![&stream[..at], &stream[at..]])
        .chain([vec![stream], stream.chunks(1).collect()])
}

/// Section 9.2.6 once more, the slow way: over the whole stream, a line at a time.
fn reference(stream: &[u8]) -> Vec<Seen> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    let mut bytes = stream.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' {
                    bytes.next_if(|next| **next == b'\n');
                }
                lines.push(Vec::new());
            }
            byte => lines.last_mut().unwrap().push(*byte),
        }
    }
    lines.pop();

    let mut events = Vec::new();
    let (mut kind, mut data, mut id) = (String::new(), Vec::new(), String::new());
    for line in lines {
        if line.is_empty() {
            if data.pop().is_some() {
                let kind = if kind.is_empty() { "message" } else { &kind };
                events.push((kind.to_owned(), data, id.clone()));
            }
            (kind, data) = (String::new(), Vec::new());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => kind = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"id" if !value.contains(&0) => id = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
    events
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn vectors_hold_at_every_cut() {
    let text = std::fs::read(conformance::path("sse/vectors.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 18, "{} cases", cases.len());
    for case in cases {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let expected = case["expect_events"].as_array().unwrap().iter();
        let expected: Vec<Seen> = expected
            .map(|event| (text(&event["event"]), text(&event["data"]).into(), text(&event["id"])))
            .collect();
        let stream = text(&case["stream_text"]);
        assert_eq!(reference(stream.as_bytes()), expected, "the reference, {}", case["name"]);
        for chunks in every_cut(stream.as_bytes()) {
            assert_eq!(events(&chunks), expected, "{}", case["name"]);
        }
    }
}

#[test]
fn frames_are_the_exact_bytes_up_to_each_blank_line() {
    let stream = b"\xef\xbb\xbf: hi\n\ndata: a\r\n\r\n\r\rdata: b\r\revent: c\n\nrest\n";
    let (_, frames, _) = run(Framer::new(), &[stream]);
    let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame.bytes()[..]).collect();
    let expected: [&[u8]; 6] = [
        b"\xef\xbb\xbf: hi\n\n",
        b"data: a\r\n\r\n",
        b"\r",
        b"\r",
        b"data: b\r\r",
        b"event: c\n\n",
    ];
    assert_eq!(frames, expected);
}

#[test]
fn a_frame_within_one_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\ndata");
    let mut framer = Framer::new();
    let frames: Vec<Frame> = framer.push(chunk.clone()).collect();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].bytes().as_ptr(), chunk.as_ptr());
    assert_eq!(frames[1].bytes().as_ptr(), chunk[9..].as_ptr());
}

#[test]
fn a_carriage_return_at_the_end_of_a_chunk_delays_nothing_and_its_line_feed_is_kept() {
    let mut framer = Framer::new();
    let frames: Vec<Frame> = framer.push(Bytes::from("data: a\r\n\r")).collect();
    assert_eq!(frames[0].bytes(), "data: a\r\n\r");

    // The LF belongs to that CR: no blank line of its own, but a byte of the next frame.
    assert_eq!(framer.push(Bytes::from("\n")).count(), 0);
    assert_eq!(framer.pending(), 1);
    let frames: Vec<Frame> = framer.push(Bytes::from("data: b\n\n")).collect();
    assert_eq!(frames[0].bytes(), "\ndata: b\n\n");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&frames[0]).unwrap().data(), b"b");
}

#[test]
fn only_the_byte_order_mark_at_the_very_start_is_dropped() {
    for chunks in every_cut("\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes()) {
        assert_eq!(events(&chunks), [("message".into(), b"a".to_vec(), String::new())]);
    }
    // Also when there is nothing but the mark in the first line.
    for chunks in every_cut("\u{feff}\n\ndata: a\n\n".as_bytes()) {
        assert_eq!(events(&chunks).len(), 1);
    }
}

#[test]
fn ids_stay_are_emptied_and_survive_an_event_without_data() {
    let seen = events(&[b"data: 0\n\nid: 7\n\ndata: 1\n\nid: a\0b\ndata: 2\n\nid\ndata: 3\n\n"]);
    let ids: Vec<&str> = seen.iter().map(|(_, _, id)| id.as_str()).collect();
    assert_eq!(ids, ["", "7", "7", ""]);
}

#[test]
fn retry_takes_digits_only() {
    let retry = |stream: &[u8]| run(Framer::new(), &[stream]).2.retry();
    assert_eq!(retry(b"data: x\n\n"), None);
    for bogus in ["1000x", "", "-1", "1.5", " 1", "\u{0661}"] {
        let stream = format!("retry: 3000\n\nretry: {bogus}\n\n");
        assert_eq!(retry(stream.as_bytes()), Some(Duration::from_secs(3)), "{bogus:?}");
    }
    assert_eq!(retry(b"retry:99999999999999999999999\n\n"), Some(Duration::from_millis(u64::MAX)));
}

#[test]
fn text_that_is_not_utf_8_is_replaced_and_kept_as_bytes() {
    let mut framer = Framer::new();
    let frame = framer.push(Bytes::from_static(b"data: \xff\xe2\x80\n\n")).next().unwrap();
    let mut decoder = Decoder::new();
    let event = decoder.decode(&frame).unwrap();
    assert_eq!(event.data(), b"\xff\xe2\x80");
    assert_eq!(event.data_str(), "\u{fffd}\u{fffd}");
}

#[test]
fn an_oversize_frame_passes_in_pieces_unread_and_the_next_one_is_read() {
    // 12 bytes with the blank line; the one between is longer.
    let stream = b"data: 12345\n\ndata: 123456\r\n\r\nid: 1\r\rdata: ok\n\n";
    let limit = "data: 12345\n\n".len();
    for chunks in every_cut(stream) {
        let (events, frames, _) = run(Framer::new().max_frame_bytes(limit), &chunks);
        let data: Vec<&[u8]> = events.iter().map(|(_, data, _)| &data[..]).collect();
        assert_eq!(data, [&b"12345"[..], b"ok"]);
        assert!(frames.iter().any(Frame::is_oversize));
    }
}

#[test]
fn whether_a_frame_is_oversize_does_not_depend_on_the_cuts() {
    let stream = b"data: 1\r\n\r\ndata: 2\r\n\r\ndata: 3\r\n\r\n";
    for limit in 0..12 {
        let whole = run(Framer::new().max_frame_bytes(limit), &[stream]).0;
        for chunks in every_cut(stream) {
            let seen = run(Framer::new().max_frame_bytes(limit), &chunks).0;
            assert_eq!(seen, whole, "limit {limit}");
        }
        // The LF of the closing CRLF does not count.
        assert_eq!(whole.len(), if limit < 10 { 0 } else { 3 }, "limit {limit}");
    }
}

#[test]
fn a_skipped_first_frame_does_not_make_the_second_the_first() {
    let mut framer = Framer::new().max_frame_bytes(12);
    let mut decoder = Decoder::new();
    let stream = "data: much too long\n\n\u{feff}data: a\n\n";
    let frames: Vec<Frame> = framer.push(Bytes::from(stream)).collect();
    assert!(frames.iter().all(|frame| decoder.decode(frame).is_none()));
}

#[test]
fn frames_that_were_not_taken_from_a_chunk_are_dropped() {
    let mut framer = Framer::new();
    drop(framer.push(Bytes::from("data: a\n\ndata: b\n\ndata: ")));
    let frames: Vec<Frame> = framer.push(Bytes::from("c\n\n")).collect();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].bytes(), "data: c\n\n");
}

#[test]
fn no_debug_output_shows_data() {
    let mut framer = Framer::new();
    let frame =
        framer.push(Bytes::from("id: secret\ndata: secret\n\ndata: secret")).next().unwrap();
    let mut decoder = Decoder::new();
    let event = format!("{:?}", decoder.decode(&frame).unwrap());
    let text = format!("{framer:?} {frame:?} {event} {decoder:?}");
    assert!(text.contains("message") && !text.contains("secret"), "{text}");
}

/// Pieces that streams of events are made of, and some that they are not.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n"]),
        6 => prop::sample::select(vec!["data:", "data: ", "data", "event: x", "id: 7", "id", ": c"]),
        1 => prop::sample::select(vec!["\u{feff}", "\0", " ", "Data: x", "retry: 1", "{\"a\":1}"]),
    ];
    let piece = prop_oneof![
        9 => piece.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn events_do_not_depend_on_cuts_and_little_is_buffered(
        stream in stream(),
        sizes in prop::collection::vec(1_usize..12, 1..40),
        limit in prop_oneof![Just(Framer::DEFAULT_MAX_FRAME_BYTES), 0_usize..40],
    ) {
        let mut chunks = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (chunk, tail) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }

        let cut = run(Framer::new().max_frame_bytes(limit), &chunks).0;
        prop_assert_eq!(&cut, &run(Framer::new().max_frame_bytes(limit), &[&stream]).0);
        if limit == Framer::DEFAULT_MAX_FRAME_BYTES {
            prop_assert_eq!(&cut, &reference(&stream));
        }

        let mut framer = Framer::new().max_frame_bytes(limit);
        for chunk in chunks {
            framer.push(Bytes::copy_from_slice(chunk)).for_each(drop);
            // And the LF that belongs to the frame before.
            prop_assert!(framer.pending() <= limit + 1);
        }
    }
}
