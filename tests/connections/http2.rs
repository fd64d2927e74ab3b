//! A server of HTTP/2 that does what its script says with each request, frame by frame.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What happens to one request of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// 200.
    Answer,
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// `GOAWAY` with this code and a last stream below the request's.
    GoAwayBelow(u32),
    /// `GOAWAY` that covers the request, and 200.
    GoAwayAndAnswer,
    /// `GOAWAY` that covers the request, and the end of the connection.
    GoAwayAndClose,
    /// The end of the connection.
    Close,
    /// 200 and a `GOAWAY` that covers it, and the end of the connection.
    AnswerLast,
    /// Nothing until `go` was given, and then as `AnswerLast`.
    AnswerLastWhenTold,
}

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// As [`http1::Server`](crate::http1::Server).
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    /// Tells [`Act::AnswerLastWhenTold`] to go on.
    pub(crate) go: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    arrived: Notify,
}

impl Server {
    pub(crate) async fn start(scripts: &[&[Act]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Vec<Vec<Act>> = scripts.iter().map(|script| script.to_vec()).collect();
        let (counts, go) = (Arc::new(Counts::default()), Arc::new(Notify::new()));
        let server = Self { address, counts: Arc::clone(&counts), go: Arc::clone(&go) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = counts.connections.fetch_add(1, SeqCst);
                let script = scripts.get(nth).cloned().unwrap_or_default();
                let (counts, go) = (Arc::clone(&counts), Arc::clone(&go));
                tokio::spawn(async move { serve(stream, script, &counts, &go).await });
            }
        });
        server
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    /// Waits until as many requests have arrived.
    pub(crate) async fn has_seen(&self, requests: usize) {
        loop {
            let arrived = self.counts.arrived.notified();
            if self.requests() >= requests {
                return;
            }
            arrived.await;
        }
    }
}

// RFC 9113 section 6.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const PREFACE: usize = 24;
/// `:status: 200` of the static table (RFC 7541 appendix A).
const STATUS_200: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

async fn serve(mut stream: TcpStream, script: Vec<Act>, counts: &Counts, go: &Notify) {
    // One request at a time when one of them is to be held, so that the next one waits for it.
    let streams =
        if script.iter().any(|act| matches!(act, Act::AnswerLastWhenTold)) { 1 } else { 100u32 };
    let settings = [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &streams.to_be_bytes()].concat();
    let _gone = stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await;
    let mut script = script.into_iter();
    if stream.read_exact(&mut [0; PREFACE]).await.is_err() {
        return;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let id = u32::from_be_bytes(id);
        let answer = frame(HEADERS, END_STREAM_AND_HEADERS, id, STATUS_200);
        let (frames, ends) = match kind {
            SETTINGS if flags & ACK == 0 => (frame(SETTINGS, ACK, 0, &[]), false),
            PING if flags & ACK == 0 => (frame(PING, ACK, 0, &payload), false),
            HEADERS => {
                counts.requests.fetch_add(1, SeqCst);
                counts.arrived.notify_waiters();
                match script.next().unwrap_or(Act::Answer) {
                    Act::Answer => (answer, false),
                    Act::Reset(code) => (frame(RST_STREAM, 0, id, &code.to_be_bytes()), false),
                    Act::GoAwayBelow(code) => (go_away(id - 2, code), false),
                    Act::GoAwayAndAnswer => ([go_away(id, NO_ERROR), answer].concat(), false),
                    Act::GoAwayAndClose => (go_away(id, NO_ERROR), true),
                    Act::Close => (Vec::new(), true),
                    Act::AnswerLast => ([answer, go_away(id, NO_ERROR)].concat(), true),
                    Act::AnswerLastWhenTold => {
                        go.notified().await;
                        ([answer, go_away(id, NO_ERROR)].concat(), true)
                    }
                }
            }
            _ => (Vec::new(), false),
        };
        if stream.write_all(&frames).await.is_err() {
            return;
        }
        if ends {
            let _gone = stream.shutdown().await;
            // Until the client has gone as well: what is not read would make the end a reset.
            let _rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            return;
        }
    }
}
