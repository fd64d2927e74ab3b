//! An upstream over HTTP/2.

use super::*;
use faults::{
    Act::{Drip, Fin, Hang, ReadFrames, Repeat, Reset},
    h2::{self, END_STREAM},
};

fn write(bytes: Vec<u8>) -> Act {
    Act::Write(bytes)
}

fn hello() -> Act {
    write(h2::hello(&[]))
}

fn cut(text: &str) -> Outcome {
    Cut(200, text.to_owned())
}

fn whole(text: &str) -> Outcome {
    Whole(200, text.to_owned())
}

/// The start of a stream: a head and one event.
fn start() -> Act {
    write([h2::ok(), h2::data(b"data: 1\n\n", 0)].concat())
}

const READ: &str = "data: 1\n\n";

#[tokio::test]
async fn a_whole_response_passes() {
    let response = [h2::ok(), h2::data(b"ok", END_STREAM)].concat();
    check(http2(), &[hello(), ReadFrames, write(response.clone()), Hang], whole("ok")).await;
    check(http2(), &[hello(), ReadFrames, Drip(response), Hang], whole("ok")).await;
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_a_502() {
    for script in [
        &[Reset][..],
        &[Fin],
        &[hello(), Fin],
        &[hello(), ReadFrames, Fin],
        &[hello(), ReadFrames, Reset],
        // Half a frame.
        &[hello(), ReadFrames, write(h2::ok()[..7].to_vec()), Fin],
    ] {
        check_closed(http2(), script, Rejected(502)).await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_504() {
    for script in [
        &[Hang][..],
        &[hello(), Hang],
        &[hello(), ReadFrames, Hang],
        &[hello(), ReadFrames, write(h2::ok()[..7].to_vec()), Hang],
        // An interim response.
        &[hello(), ReadFrames, write(h2::head(&h2::block(103, &[]), 0)), Hang],
    ] {
        check(http2(), script, Rejected(504)).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_a_502() {
    let padded = h2::frame(h2::HEADERS, h2::END_HEADERS | 8, 1, &[200, 0x88]);
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        vec![0xff; 100],
        // Larger than the client allows.
        h2::frame(h2::DATA, 0, 1, &[0; 100_000]),
        // On stream 0, on one that was never opened, and without a head.
        h2::frame(h2::HEADERS, h2::END_HEADERS, 0, h2::STATUS_200),
        h2::frame(h2::HEADERS, h2::END_HEADERS, 99, h2::STATUS_200),
        h2::data(b"x", 0),
        padded,
        // Not of HPACK, and without a status.
        h2::frame(h2::HEADERS, h2::END_HEADERS, 1, &[0xff; 20]),
        h2::head(&h2::block(200, &[])[5..], 0),
        h2::head(&[0, 1, b'a', 1, b'b'], 0),
        h2::frame(h2::CONTINUATION, h2::END_HEADERS, 1, h2::STATUS_200),
        // `connection` does not exist in HTTP/2 (RFC 9113 section 8.2.2).
        h2::head(&h2::block(200, &[("transfer-encoding", "chunked")]), 0),
    ] {
        check(http2(), &[hello(), ReadFrames, write(bytes), Hang], Rejected(502)).await;
    }
}

#[tokio::test]
async fn every_reset_before_the_head_is_a_502() {
    for code in (0..=14).chain([u32::MAX]) {
        let outcomes =
            outcomes(http2(), &[hello(), ReadFrames, write(h2::reset(code)), Hang], NO_WAIT).await;
        for outcome in outcomes {
            assert_eq!(outcome, Rejected(502), "{code}");
        }
    }
}

#[tokio::test]
async fn every_reset_after_the_head_cuts_the_body() {
    for code in (0..=14).chain([u32::MAX]) {
        let script = [hello(), ReadFrames, start(), write(h2::reset(code)), Hang];
        for outcome in outcomes(http2(), &script, NO_WAIT).await {
            let read = |read: &str| read.is_empty() || read == READ;
            assert!(matches!(&outcome, Cut(200, text) if read(text)), "{code} {outcome}");
        }
    }
}

#[tokio::test]
async fn a_reset_after_the_end_leaves_the_response_whole() {
    // The server has no need of the rest of the request (RFC 9113 section 8.1).
    let head = h2::head(&h2::block(413, &[]), 0);
    let response = [head, h2::data(b"too large", END_STREAM), h2::reset(0)].concat();
    let closed = write(h2::hello(&[(h2::INITIAL_WINDOW_SIZE, 0)]));
    let script = [closed, ReadFrames, write(response), Hang];
    check(http2(), &script, Whole(413, "too large".to_owned())).await;
}

#[tokio::test]
async fn a_go_away_is_an_error_or_leaves_the_response_whole() {
    let rest = || write(h2::data(b"end", END_STREAM));
    // Below the request: the server has not processed it.
    for code in [0, 2, 11] {
        check(http2(), &[hello(), ReadFrames, write(h2::go_away(0, code)), Fin], Rejected(502))
            .await;
    }
    // The response to the request still comes.
    let script = [hello(), ReadFrames, start(), write(h2::go_away(1, 0)), rest(), Fin];
    check(http2(), &script, whole("data: 1\n\nend")).await;
    let script = [hello(), ReadFrames, start(), write(h2::go_away(1, 0)), Fin];
    check_closed(http2(), &script, cut(READ)).await;
}

#[tokio::test]
async fn a_window_that_never_opens_is_a_504() {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        // The request has no room for its body, and the server waits for all of it.
        let closed = write(h2::hello(&[(h2::INITIAL_WINDOW_SIZE, 0)]));
        let upstream = FaultyUpstream::start(vec![vec![closed, ReadFrames, Hang]]).await;
        let gateway = Gateway::start(upstream.address, http2(), front, WAIT).await;
        let case = async {
            assert_eq!(gateway.outcome("{\"model\":\"a\"}").await, Rejected(504));
            gateway.is_idle().await;
        };
        timeout(HANGS, case).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_without_bounds_is_a_502() {
    let large = h2::block(200, &[("x-large", &"x".repeat(100_000))]);
    let header = ("x-several", &*"x".repeat(1_000));
    let several = h2::block(200, &[header; 100]);
    for block in [large, several] {
        check(http2(), &[hello(), ReadFrames, write(h2::head(&block, 0)), Hang], Rejected(502))
            .await;
    }
    let first = write(h2::frame(h2::HEADERS, 0, 1, h2::STATUS_200));
    let endless = Repeat(h2::frame(h2::CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']));
    check_closed(http2(), &[hello(), ReadFrames, first, endless], Rejected(502)).await;
}

#[tokio::test]
async fn interim_responses_do_not_reach_the_client() {
    let interim = |status| h2::head(&h2::block(status, &[("link", "</x>")]), 0);
    for status in [100, 102, 103] {
        for times in [1, 3] {
            let interim = interim(status).repeat(times);
            let response = [interim, h2::ok(), h2::data(b"ok", END_STREAM)].concat();
            check(http2(), &[hello(), ReadFrames, write(response), Hang], whole("ok")).await;
        }
    }
    // HTTP/2 has no 101 (RFC 9113 section 8.6), and an interim response does not end a stream.
    let ends = h2::head(&h2::block(103, &[]), END_STREAM);
    check(http2(), &[hello(), ReadFrames, write(ends), Hang], Rejected(502)).await;
    let endless = outcomes(http2(), &[hello(), ReadFrames, Repeat(interim(103))], WAIT).await;
    for outcome in endless {
        assert!(matches!(outcome, Rejected(502 | 504)), "{outcome}");
    }
}

#[tokio::test]
async fn a_length_that_is_wrong_cuts_the_body() {
    let head = |length: &str| h2::head(&h2::block(200, &[("content-length", length)]), 0);
    for (length, flags) in [("100", END_STREAM), ("2", 0), ("2", END_STREAM)] {
        let response = [head(length), h2::data(b"first", flags)].concat();
        for outcome in outcomes(http2(), &[hello(), ReadFrames, write(response), Hang], WAIT).await
        {
            assert!(matches!(outcome, Cut(200, _)), "{length} {flags} {outcome}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_cut_for_the_client() {
    for script in [
        &[hello(), ReadFrames, start(), Fin][..],
        &[hello(), ReadFrames, start(), write(h2::data(b"data: 2", 0)[..12].to_vec()), Fin],
        &[hello(), ReadFrames, start(), write(vec![0xff; 100]), Hang],
        // Nothing more.
        &[hello(), ReadFrames, start(), Hang],
    ] {
        for outcome in outcomes(http2(), script, WAIT).await {
            // An error of the connection may overtake the bytes before it.
            let read =
                |text: &str| text.is_empty() || READ.starts_with(text) || text.starts_with(READ);
            assert!(matches!(&outcome, Cut(200, text) if read(text)), "{outcome}");
            assert!(!format!("{outcome}").contains("[DONE]"));
        }
    }
    let script = [hello(), ReadFrames, start(), Reset];
    for outcome in outcomes(http2(), &script, NO_WAIT).await {
        assert!(matches!(outcome, Cut(200, _) | Rejected(502)), "{outcome}");
    }
}

#[tokio::test]
async fn empty_frames_are_no_progress() {
    let empty = Repeat(h2::data(b"", 0));
    for outcome in outcomes(http2(), &[hello(), ReadFrames, start(), empty], WAIT).await {
        assert!(matches!(outcome, Cut(200, _)), "{outcome}");
    }
}
