//! An upstream over HTTP/1.1.

use super::*;
use faults::Act::{Drip, Fin, Hang, ReadHead, Repeat, Reset};

fn write(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Write(bytes.into())
}

fn cut(text: &str) -> Outcome {
    Cut(200, text.to_owned())
}

fn whole(text: &str) -> Outcome {
    Whole(200, text.to_owned())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The start of a stream: one event and no end.
const EVENT: &str = "e\r\ndata: {\"a\":1}\n\r\n";
const READ: &str = "data: {\"a\":1}\n";

#[tokio::test]
async fn a_refused_connection_is_a_502() {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let address = FaultyUpstream::refusing().await;
        let gateway = Gateway::start(address, http1(), front, NO_WAIT).await;
        assert_eq!(gateway.outcome("{}").await, Rejected(502));
        gateway.is_idle().await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_a_502() {
    let half = "HTTP/1.1 200 OK\r\ncontent-le";
    for script in [
        &[Reset][..],
        &[Fin],
        &[ReadHead, Reset],
        &[ReadHead, Fin],
        &[ReadHead, write(half), Fin],
        &[ReadHead, write(half), Reset],
        &[ReadHead, write("HTTP/1.1 100 Continue\r\n\r\n"), Fin],
    ] {
        check_closed(http1(), script, Rejected(502)).await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_504() {
    for script in [
        // Accepts and never reads.
        &[Hang][..],
        &[ReadHead, Hang],
        &[ReadHead, write("HTTP/1.1 200 OK\r\ncontent-le"), Hang],
        &[ReadHead, write("HTTP/1.1 103 Early Hints\r\n\r\n"), Hang],
        &[ReadHead, Repeat(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec())],
    ] {
        check_closed(http1(), script, Rejected(504)).await;
    }
}

#[tokio::test]
async fn a_full_backlog_is_a_504() {
    let impatient = http1().connect_timeout(WAIT / 5);
    for (client, deadline, status) in [(http1(), WAIT, 504), (impatient, NO_WAIT, 502)] {
        let upstream = FullBacklog::start().await;
        let gateway = Gateway::start(upstream.address, client, Version::HTTP_11, deadline).await;
        let outcome = timeout(HANGS, gateway.outcome("{}")).await.unwrap();
        assert_eq!(outcome, Rejected(status));
        gateway.is_idle().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_response_are_a_502() {
    let response = |head: &str| write(format!("{head}\r\ncontent-length: 2\r\n\r\nok"));
    for bytes in [
        write("SSH-2.0-OpenSSH_9.6\r\n"),
        write(b"\x15\x03\x03\x00\x02\x02\x46".to_vec()),
        write(vec![0; 4_096]),
        write("\r\n".repeat(100) + "ICY 200 OK\r\n\r\n"),
        response("HTTP/1.1 99 Low"),
        response("HTTP/1.1 abc OK"),
        response("HTTP/3.7 200 OK"),
        response("HTTP/1.1 200 OK\r\nname without colon"),
        response("HTTP/1.1 200 OK\r\na\0: b"),
        response("HTTP/1.1 200 OK\r\ncontent-length: 3"),
        response("HTTP/1.1 200 OK\r\ncontent-length: -1"),
        // A server of HTTP/2.
        write(b"\0\0\0\x04\0\0\0\0\0".to_vec()),
    ] {
        check(http1(), &[ReadHead, bytes, Hang], Rejected(502)).await;
    }
}

#[tokio::test]
async fn a_head_byte_by_byte_is_read() {
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    check(http1(), &[ReadHead, Drip(response.into()), Hang], whole("ok")).await;
}

#[tokio::test]
async fn a_head_without_bounds_is_a_502() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 2\r\n\r\nok",
        "x".repeat(100_000)
    );
    let many =
        format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", "x-a: b\r\n".repeat(1_000));
    let several = format!("x-large: {}\r\n", "x".repeat(5_000)).repeat(20);
    let several = format!("HTTP/1.1 200 OK\r\n{several}content-length: 2\r\n\r\nok");
    for head in [large, many, several] {
        check(http1(), &[ReadHead, write(head), Hang], Rejected(502)).await;
    }
    let endless = Repeat(b"x-a: b\r\n".to_vec());
    check_closed(http1(), &[ReadHead, write("HTTP/1.1 200 OK\r\n"), endless], Rejected(502)).await;
    // What real upstreams send fits.
    let usual = format!(
        "HTTP/1.1 200 OK\r\nx-usual: {}\r\ncontent-length: 2\r\n\r\nok",
        "x".repeat(16_000)
    );
    check(http1(), &[ReadHead, write(usual), Hang], whole("ok")).await;
}

#[tokio::test]
async fn interim_responses_do_not_reach_the_client() {
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for interim in ["100 Continue", "102 Processing", "103 Early Hints\r\nlink: </x>", "199 Other"]
    {
        for times in [1, 3, 50] {
            let interim = format!("HTTP/1.1 {interim}\r\n\r\n").repeat(times);
            check(http1(), &[ReadHead, write(interim + response), Hang], whole("ok")).await;
        }
    }
}

#[tokio::test]
async fn a_switch_of_protocols_is_a_502() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    check_closed(http1(), &[ReadHead, write(switch), Hang], Rejected(502)).await;
}

#[tokio::test]
async fn a_length_that_is_too_long_cuts_the_body() {
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst";
    check_closed(http1(), &[ReadHead, write(response), Fin], cut("first")).await;
    check_closed(http1(), &[ReadHead, write(response), Reset], cut("first")).await;
    check_closed(http1(), &[ReadHead, write(response), Hang], cut("first")).await;
}

#[tokio::test]
async fn bytes_beyond_the_length_reach_nobody() {
    let second = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let script =
        [ReadHead, write(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{second}")), Hang];
    let next = [ReadHead, write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"), Hang];
    let upstream = FaultyUpstream::start(vec![script.to_vec(), next.to_vec()]).await;
    let gateway = Gateway::start(upstream.address, http1(), Version::HTTP_11, NO_WAIT).await;
    assert_eq!(gateway.outcome("{}").await, whole("ok"));
    // The next response is not the one that was sent ahead.
    assert_eq!(gateway.outcome("{}").await, whole("true"));
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn of_a_length_and_chunks_the_chunks_count() {
    // RFC 9112 section 6.3.
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    check(http1(), &[ReadHead, write(response), Hang], whole("ok")).await;
}

#[tokio::test]
async fn chunks_that_are_none_cut_the_body() {
    for (garbage, read) in [
        ("zz\r\n", READ),
        ("-1\r\n", READ),
        ("fffffffffffffffff\r\n", READ),
        ("5\r\nabcdefgh\r\n", "data: {\"a\":1}\nabcde"),
        ("\0\0\0\0", READ),
        ("HTTP/1.1 200 OK\r\n\r\n", READ),
    ] {
        let script = [ReadHead, write(format!("{CHUNKED}{EVENT}{garbage}")), Hang];
        check_closed(http1(), &script, cut(read)).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_cut_for_the_client() {
    let start = || write(format!("{CHUNKED}{EVENT}"));
    for script in [
        &[ReadHead, start(), Fin][..],
        &[ReadHead, start(), Reset],
        // In the middle of a chunk, of its size and of the last chunk.
        &[ReadHead, start(), write("e\r\n"), Fin],
        &[ReadHead, start(), write("e"), Fin],
        &[ReadHead, start(), write("0\r\n"), Fin],
        // Nothing more.
        &[ReadHead, start(), Hang],
    ] {
        // No clean end, and no `[DONE]`.
        check_closed(http1(), script, cut(READ)).await;
    }
    let until_close = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let script = [ReadHead, write(format!("{until_close}{READ}")), Reset];
    check_closed(http1(), &script, cut(READ)).await;
    // The end of a body without a length is the end of its connection (RFC 9112 section 6.3), so a
    // cut looks like it.
    let script = [ReadHead, write(format!("{until_close}{READ}")), Fin];
    check_closed(http1(), &script, whole(READ)).await;
}

#[tokio::test]
async fn a_body_that_does_not_begin_is_cut() {
    check_closed(http1(), &[ReadHead, write(CHUNKED), Hang], cut("")).await;
}

#[tokio::test]
async fn a_stream_without_end_is_cut_by_the_total_timeout() {
    let outcomes =
        outcomes(http1(), &[ReadHead, write(CHUNKED), Repeat(b"1\r\nx\r\n".to_vec())], WAIT).await;
    for outcome in outcomes {
        assert!(matches!(&outcome, Cut(200, read) if read.starts_with('x')), "{outcome:.40}");
    }
}
