//! An upstream on loopback that plays faults, over HTTP/1.1 and HTTP/2.
//!
//! A script says what happens to each connection. Over HTTP/2 its bytes are frames, which [`h2`]
//! writes. The stream of the only request of a connection is 1.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// One step of a script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads up to the end of a head of HTTP/1.1.
    ReadHead,
    /// Reads up to the `HEADERS` frame of a request over HTTP/2.
    ReadFrames,
    /// Reads frames up to the `RST_STREAM` of the gateway, after [`ReadFrames`](Self::ReadFrames).
    ReadReset,
    /// Tells the test that the script has come here.
    Reach(Arc<Notify>),
    /// Waits until the test goes on.
    Pause(Arc<Notify>),
    Write(Vec<u8>),
    /// Writes one byte after the other, each in a segment of its own.
    Drip(Vec<u8>),
    /// Writes the same bytes until the gateway closes the connection.
    Repeat(Vec<u8>),
    /// Ends the connection in order.
    Fin,
    /// Resets the connection.
    Reset,
    /// Neither reads nor writes until the gateway closes the connection.
    Hang,
}

/// A server that plays one script for each connection. The last one is played for all others.
#[derive(Debug)]
pub(crate) struct FaultyUpstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    resets: AtomicUsize,
    changed: Notify,
}

impl FaultyUpstream {
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let server = Self { address, counts: Arc::clone(&counts) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = counts.accepted.fetch_add(1, SeqCst);
                let script =
                    scripts.get(nth).or_else(|| scripts.last()).cloned().unwrap_or_default();
                counts.open.fetch_add(1, SeqCst);
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    let _ended = play(stream, script, &counts).await;
                    counts.open.fetch_sub(1, SeqCst);
                    counts.changed.notify_waiters();
                });
            }
        });
        server
    }

    /// An address where nobody listens.
    pub(crate) async fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(SeqCst)
    }

    /// Waits until every connection is closed.
    pub(crate) async fn all_closed(&self) {
        self.becomes(|counts| counts.open.load(SeqCst) == 0).await;
    }

    /// Waits until the gateway has reset a stream.
    pub(crate) async fn reset(&self) {
        self.becomes(|counts| counts.resets.load(SeqCst) > 0).await;
    }

    async fn becomes(&self, is_so: impl Fn(&Counts) -> bool) {
        loop {
            let changed = self.counts.changed.notified();
            if is_so(&self.counts) {
                return;
            }
            changed.await;
        }
    }
}

async fn play(mut stream: TcpStream, script: Vec<Act>, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for act in script {
        match act {
            Act::ReadHead => {
                let mut read = Vec::new();
                while !read.windows(4).any(|window| window == b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Ok(());
                    }
                }
            }
            Act::ReadFrames => h2::read_request(&mut stream).await?,
            Act::ReadReset => {
                h2::read_up_to(h2::RST_STREAM, &mut stream).await?;
                counts.resets.fetch_add(1, SeqCst);
                counts.changed.notify_waiters();
            }
            Act::Reach(here) => here.notify_one(),
            Act::Pause(over) => over.notified().await,
            Act::Write(bytes) => stream.write_all(&bytes).await?,
            Act::Drip(bytes) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Act::Repeat(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Act::Fin => break,
            Act::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            // The end of the connection is seen without reading.
            Act::Hang => loop {
                let ready = stream.ready(Interest::READABLE).await?;
                if ready.is_read_closed() {
                    return Ok(());
                }
                // Forgets that bytes wait to be read, until the next event.
                let unread = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
                let _unread = stream.try_io(Interest::READABLE, unread);
            },
        }
    }
    // Reading to the end keeps the kernel from a reset.
    stream.shutdown().await?;
    let mut rest = [0; 4_096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// A listener whose backlog is full: a connection to it is never accepted.
pub(crate) struct FullBacklog {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<tokio::task::JoinHandle<io::Result<TcpStream>>>,
}

impl FullBacklog {
    pub(crate) async fn start() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| tokio::spawn(TcpStream::connect(address));
        let waiting: Vec<_> = (0..8).map(connect).collect();
        // The first two are in the queue, and the kernel drops what comes after.
        while waiting.iter().filter(|waiting| waiting.is_finished()).count() < 2 {
            tokio::task::yield_now().await;
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// Frames of HTTP/2 (RFC 9113 section 6).
pub(crate) mod h2 {
    use super::*;

    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const CONTINUATION: u8 = 9;

    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    const ACK: u8 = 1;
    const PREFACE: usize = 24;

    /// `:status: 200` of the static table (RFC 7541 appendix A).
    pub(crate) const STATUS_200: &[u8] = &[0x88];

    pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// The settings of the server, and the acknowledgement of the client's.
    pub(crate) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
        let payload = settings
            .iter()
            .flat_map(|(name, value)| name.to_be_bytes().into_iter().chain(value.to_be_bytes()));
        let payload: Vec<_> = payload.collect();
        [frame(SETTINGS, 0, 0, &payload), frame(SETTINGS, ACK, 0, &[])].concat()
    }

    /// The initial window of a stream.
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

    /// A 200 that a body follows.
    pub(crate) fn ok() -> Vec<u8> {
        frame(HEADERS, END_HEADERS, 1, STATUS_200)
    }

    /// A status and headers without indexing and without Huffman coding (RFC 7541 section 6.2.2).
    pub(crate) fn block(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = vec![0x08];
        text(&status.to_string(), &mut block);
        for (name, value) in headers {
            block.push(0);
            text(name, &mut block);
            text(value, &mut block);
        }
        block
    }

    fn text(text: &str, block: &mut Vec<u8>) {
        // An integer with a prefix of seven bits (RFC 7541 section 5.1).
        let mut length = text.len();
        if length < 127 {
            block.push(length as u8);
        } else {
            block.push(127);
            length -= 127;
            while length >= 128 {
                block.push((length % 128) as u8 | 128);
                length /= 128;
            }
            block.push(length as u8);
        }
        block.extend(text.as_bytes());
    }

    /// A head of any size, in as many frames as it needs.
    pub(crate) fn head(block: &[u8], flags: u8) -> Vec<u8> {
        let mut pieces = block.chunks(16_384).peekable();
        let first = pieces.next().unwrap_or_default();
        let last = |more: bool| if more { 0 } else { END_HEADERS };
        let mut frames = frame(HEADERS, flags | last(pieces.peek().is_some()), 1, first);
        while let Some(piece) = pieces.next() {
            frames.extend(frame(CONTINUATION, last(pieces.peek().is_some()), 1, piece));
        }
        frames
    }

    pub(crate) fn data(bytes: &[u8], flags: u8) -> Vec<u8> {
        frame(DATA, flags, 1, bytes)
    }

    pub(crate) fn reset(code: u32) -> Vec<u8> {
        frame(RST_STREAM, 0, 1, &code.to_be_bytes())
    }

    pub(crate) fn go_away(last: u32, code: u32) -> Vec<u8> {
        frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<()> {
        let mut preface = [0; PREFACE];
        stream.read_exact(&mut preface).await?;
        read_up_to(HEADERS, stream).await
    }

    pub(super) async fn read_up_to(kind: u8, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await?;
            if head[3] == kind {
                return Ok(());
            }
        }
    }
}
