//! Targets over HTTP/1.1.

use super::*;
use AbandonReason::{Broken, ErrorEvent, Status, Unreachable};
use Cost::{Nothing, Prompt, Tokens};
use End::{Closed, Unseen};
use faults::Act::{Fin, Hang, ReadHead, Reset};

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn write(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Write(bytes.into())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The start of a stream with these events, each in a chunk.
fn events(events: &[&str]) -> Act {
    write(CHUNKED.to_owned() + &events.iter().map(|event| chunk(event)).collect::<String>())
}

fn good() -> Vec<Act> {
    vec![ReadHead, events(&[GOOD]), write("0\r\n\r\n"), Hang]
}

fn status(status: u16, headers: &str, body: &str) -> Act {
    let length = body.len();
    write(format!(
        "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ))
}

async fn check(faults: impl IntoIterator<Item = Fault>) {
    fall_back(http1(), good(), faults).await;
}

#[tokio::test]
async fn a_refused_connection_is_replaced() {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let fault = Fault::new([], Unreachable, Nothing, Unseen);
        let refusing = FaultyUpstream::refusing().await;
        let case = falls_back(http1(), good(), &fault, (refusing, front), "refused");
        timeout(HANGS, case).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_replaced() {
    let full = FullBacklog::start().await;
    for fault in [Fault::silent([], Unseen), Fault::headless([], Unseen)] {
        let place = (full.address, Version::HTTP_11);
        let case = falls_back(http1(), good(), &fault, place, "a full backlog");
        timeout(HANGS, case).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_replaced() {
    let half = || write("HTTP/1.1 200 OK\r\ncontent-le");
    let scripts = [
        vec![Reset],
        vec![Fin],
        vec![ReadHead, Reset],
        vec![ReadHead, Fin],
        vec![ReadHead, half(), Fin],
        vec![ReadHead, half(), Reset],
        vec![ReadHead, write("HTTP/1.1 100 Continue\r\n\r\n"), Fin],
    ];
    check(scripts.map(|script| Fault::new(script, Unreachable, Nothing, Closed))).await;
}

#[tokio::test]
async fn bytes_that_are_no_response_are_replaced() {
    for (bytes, reason) in [
        (write("SSH-2.0-OpenSSH_9.6\r\n"), Unreachable),
        (write(vec![0; 4_096]), Unreachable),
        (write("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), Unreachable),
        (write("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"), Unreachable),
        (write(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000))), Status),
        (write(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000))), Unreachable),
    ] {
        check([Fault::new([ReadHead, bytes, Hang], reason, Nothing, Closed)]).await;
    }
}

#[tokio::test]
async fn a_response_that_does_not_come_is_replaced() {
    let half = || write("HTTP/1.1 200 OK\r\ncontent-le");
    let early = || write("HTTP/1.1 103 Early Hints\r\n\r\n");
    let scripts = || {
        [
            vec![Hang],
            vec![ReadHead, Hang],
            vec![ReadHead, half(), Hang],
            vec![ReadHead, early(), Hang],
        ]
    };
    let content = scripts().map(|script| Fault::silent(script, Closed));
    check(content.into_iter().chain(scripts().map(|script| Fault::headless(script, Closed)))).await;
}

#[tokio::test]
async fn a_stream_without_content_is_replaced() {
    let ping = [COMMENT; 100];
    let streams = [&[][..], &ping, &[ROLE], &[ROLE, COMMENT, ROLE]];
    check(streams.map(|sent| Fault::silent([ReadHead, events(sent), Hang], Closed))).await;
    let fault = Fault::silent([ReadHead, events(&[ROLE, USAGE]), Hang], Closed);
    check([Fault { cost: Tokens(USED), ..fault }]).await;
}

#[tokio::test]
async fn a_failed_status_is_replaced() {
    let headers = ["", "retry-after: 3\r\n"];
    let rows = [500, 502, 503, 504, 429]
        .into_iter()
        .flat_map(|code| headers.map(|headers| (code, headers)));
    check(rows.map(|(code, headers)| {
        Fault::new([ReadHead, status(code, headers, UNUSED), Hang], Status, Nothing, Unseen)
    }))
    .await;
    let reported = |code| [ReadHead, status(code, "", FAILED), Hang];
    check([500, 503].map(|code| Fault::new(reported(code), Status, Tokens(FAILED_USED), Unseen)))
        .await;
    // Its body does not end.
    let endless =
        write("HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
    check([Fault::new([ReadHead, endless, Hang], Status, Nothing, Closed)]).await;
}

#[tokio::test]
async fn a_stream_that_fails_before_its_content_is_replaced() {
    let ends = [
        vec![Fin],
        vec![Reset],
        vec![write("0\r\n\r\n"), Hang],
        vec![write("zz\r\n"), Hang],
        vec![write("ff\r\ndata: "), Fin],
    ];
    for sent in [&[COMMENT][..], &[ROLE], &[ROLE, COMMENT]] {
        check(ends.clone().into_iter().map(|end| {
            // A body that ends in order leaves its connection open.
            let seen = if matches!(end[0], Act::Write(ref end) if end == b"0\r\n\r\n") {
                Unseen
            } else {
                Closed
            };
            Fault::new([vec![ReadHead, events(sent)], end].concat(), Broken, Prompt, seen)
        }))
        .await;
    }
    for sent in [&[ERROR][..], &[COMMENT, ERROR], &[ROLE, ERROR]] {
        check([Fault::new([ReadHead, events(sent), Hang], ErrorEvent, Prompt, Closed)]).await;
    }
    let sent = events(&[USAGE, ERROR]);
    check([Fault::new([ReadHead, sent, Hang], ErrorEvent, Tokens(USED), Closed)]).await;
}

#[tokio::test]
async fn nothing_is_replaced_after_content() {
    let last = "0\r\n\r\n";
    let ends = [
        (vec![Fin], cut(), Closed),
        (vec![Reset], cut(), Closed),
        (vec![write("0\r\n"), Fin], cut(), Closed),
        (vec![write("zz\r\n"), Hang], cut(), Closed),
        // A target that ends without a `[DONE]`, and one that reports an error.
        (vec![write(last), Hang], Whole(200, [ROLE, ONE].concat()), Unseen),
        (vec![write(chunk(ERROR) + last), Hang], Whole(200, [ROLE, ONE, ERROR].concat()), Unseen),
    ];
    stay(http1(), vec![ReadHead, events(&[ROLE, ONE])], ends).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_attempt() {
    leave(http1(), vec![ReadHead], vec![Hang], Closed).await;
    // While the start of a stream is held.
    leave(http1(), vec![ReadHead, events(&[ROLE])], vec![Hang], Closed).await;
}
