//! Targets over HTTP/2.

use super::*;
use AbandonReason::{Broken, ErrorEvent, Status, Unreachable};
use Cost::{Nothing, Prompt, Tokens};
use End::{Closed, Unseen};
use faults::{
    Act::{Fin, Hang, ReadFrames, ReadReset, Reset},
    h2::{self, END_STREAM},
};

fn write(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Write(bytes.into())
}

fn hello() -> Act {
    write(h2::hello(&[]))
}

/// The start of a stream with these events, each in a frame.
fn events(events: &[&str]) -> Act {
    let head = h2::head(&h2::block(200, &[("content-type", "text/event-stream")]), 0);
    let frames = events.iter().flat_map(|event| h2::data(event.as_bytes(), 0));
    write(head.into_iter().chain(frames).collect::<Vec<_>>())
}

fn end() -> Act {
    write(h2::data(b"", END_STREAM))
}

fn good() -> Vec<Act> {
    vec![hello(), ReadFrames, events(&[GOOD]), end(), Hang]
}

/// Sends a request's response, which ends as the gateway resets its stream.
fn open(response: Act) -> Vec<Act> {
    vec![hello(), ReadFrames, response, ReadReset, Hang]
}

async fn check(faults: impl IntoIterator<Item = Fault>) {
    fall_back(http2(), good(), faults).await;
}

/// The error codes of RFC 9113 section 7, and an unknown one.
fn codes() -> impl Iterator<Item = u32> {
    (0..=14).chain([u32::MAX])
}

#[tokio::test]
async fn a_refused_connection_is_replaced() {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let fault = Fault::new([], Unreachable, Nothing, Unseen);
        let refusing = FaultyUpstream::refusing().await;
        let case = falls_back(http2(), good(), &fault, (refusing, front), "refused");
        timeout(HANGS, case).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_replaced() {
    let scripts = [
        vec![Reset],
        vec![Fin],
        vec![hello(), Fin],
        vec![hello(), ReadFrames, Fin],
        vec![hello(), ReadFrames, Reset],
        vec![hello(), ReadFrames, write(&h2::ok()[..7]), Fin],
    ];
    check(scripts.map(|script| Fault::new(script, Unreachable, Nothing, Closed))).await;
}

#[tokio::test]
async fn every_reset_and_go_away_before_the_head_is_replaced() {
    let resets = codes().map(|code| vec![hello(), ReadFrames, write(h2::reset(code)), Hang]);
    check(resets.map(|script| Fault::new(script, Unreachable, Nothing, Unseen))).await;
    let away = codes().map(|code| vec![hello(), ReadFrames, write(h2::go_away(0, code)), Fin]);
    check(away.map(|script| Fault::new(script, Unreachable, Nothing, Closed))).await;
}

#[tokio::test]
async fn bytes_that_are_no_response_are_replaced() {
    let large = h2::block(200, &[("x-large", &"x".repeat(100_000))]);
    let several = h2::block(200, &[("x-several", &*"x".repeat(1_000)); 100]);
    let bytes = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xff; 100],
        h2::frame(h2::DATA, 0, 1, &[0; 100_000]),
        h2::frame(h2::HEADERS, h2::END_HEADERS, 1, &[0xff; 20]),
        h2::head(&h2::block(200, &[("transfer-encoding", "chunked")]), 0),
        h2::head(&large, 0),
        h2::head(&several, 0),
    ];
    check(bytes.map(|bytes| {
        Fault::new([hello(), ReadFrames, write(bytes), Hang], Unreachable, Nothing, Unseen)
    }))
    .await;
}

#[tokio::test]
async fn a_response_that_does_not_come_is_replaced() {
    let half = || write(&h2::ok()[..7]);
    let early = || write(h2::head(&h2::block(103, &[]), 0));
    let scripts = || {
        [
            // Without the settings of a server.
            vec![ReadFrames, ReadReset, Hang],
            vec![hello(), ReadFrames, ReadReset, Hang],
            open(half()),
            open(early()),
        ]
    };
    let content = scripts().map(|script| Fault::silent(script, End::Reset));
    let head = scripts().map(|script| Fault::headless(script, End::Reset));
    check(content.into_iter().chain(head)).await;
}

#[tokio::test]
async fn a_stream_without_content_is_replaced() {
    let ping = [COMMENT; 100];
    let streams = [&[][..], &ping, &[ROLE], &[ROLE, COMMENT, ROLE]];
    check(streams.map(|sent| Fault::silent(open(events(sent)), End::Reset))).await;
    let fault = Fault::silent(open(events(&[ROLE, USAGE])), End::Reset);
    check([Fault { cost: Tokens(USED), ..fault }]).await;
}

#[tokio::test]
async fn a_failed_status_is_replaced() {
    let status = |status, headers: &[(&str, &str)], body: &str| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let head = h2::head(&h2::block(status, &headers), 0);
        write([head, h2::data(body.as_bytes(), END_STREAM)].concat())
    };
    for headers in [&[][..], &[("retry-after", "3")]] {
        check([500, 502, 503, 504, 429].map(|code| {
            let script = [hello(), ReadFrames, status(code, headers, UNUSED), Hang];
            Fault::new(script, Status, Nothing, Unseen)
        }))
        .await;
    }
    check([500, 503].map(|code| {
        let script = [hello(), ReadFrames, status(code, &[], FAILED), Hang];
        Fault::new(script, Status, Tokens(FAILED_USED), Unseen)
    }))
    .await;
    // Its body does not end.
    let head = h2::head(&h2::block(500, &[("content-type", "application/json")]), 0);
    let endless = write([head, h2::data(b"{", 0)].concat());
    check([Fault::new(open(endless), Status, Nothing, End::Reset)]).await;
}

#[tokio::test]
async fn a_stream_that_fails_before_its_content_is_replaced() {
    for sent in [&[][..], &[COMMENT], &[ROLE, COMMENT]] {
        let begun = |end| vec![hello(), ReadFrames, events(sent), end, Hang];
        check(
            codes().map(|code| Fault::new(begun(write(h2::reset(code))), Broken, Prompt, Unseen)),
        )
        .await;
        check([
            Fault::new(begun(Fin), Broken, Prompt, Closed),
            Fault::new(begun(end()), Broken, Prompt, Unseen),
            Fault::new(
                begun(write([h2::go_away(1, 0), h2::reset(2)].concat())),
                Broken,
                Prompt,
                Unseen,
            ),
        ])
        .await;
    }
    for sent in [&[ERROR][..], &[COMMENT, ERROR], &[ROLE, ERROR]] {
        check([Fault::new(open(events(sent)), ErrorEvent, Prompt, End::Reset)]).await;
    }
    let sent = events(&[USAGE, ERROR]);
    check([Fault::new(open(sent), ErrorEvent, Tokens(USED), End::Reset)]).await;
}

#[tokio::test]
async fn nothing_is_replaced_after_content() {
    let resets = codes().map(|code| (vec![write(h2::reset(code)), Hang], cut(), Unseen));
    let ends = [
        (vec![Fin], cut(), Closed),
        (vec![write(h2::go_away(1, 0)), Fin], cut(), Closed),
        (vec![write(h2::data(ONE.as_bytes(), 0)[..12].to_vec()), Fin], cut(), Closed),
        // A target that ends without a `[DONE]`, and one that reports an error.
        (vec![end(), Hang], Whole(200, [ROLE, ONE].concat()), Unseen),
        (
            vec![write(h2::data(ERROR.as_bytes(), END_STREAM)), Hang],
            Whole(200, [ROLE, ONE, ERROR].concat()),
            Unseen,
        ),
    ];
    let begun = vec![hello(), ReadFrames, events(&[ROLE, ONE])];
    stay(http2(), begun, resets.chain(ends)).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_attempt() {
    let ending = || vec![ReadReset, Hang];
    leave(http2(), vec![hello(), ReadFrames], ending(), End::Reset).await;
    // While the start of a stream is held.
    let begun = vec![hello(), ReadFrames, events(&[ROLE])];
    leave(http2(), begun, ending(), End::Reset).await;
}
