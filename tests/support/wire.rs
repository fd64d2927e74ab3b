//! Peers on loopback that are looked at byte by byte, and a log that can be read.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tracing::{Dispatch, subscriber::NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

/// What a [`RawUpstream`] saw.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    /// A whole request, as it came.
    Request(Vec<u8>),
    /// The connection's end.
    Closed,
}

/// A server that gives one and the same answer to every request, and records what it reads.
#[derive(Debug)]
pub(crate) struct RawUpstream {
    pub(crate) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl RawUpstream {
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, tell) = (Arc::clone(&answer), tell.clone());
                tokio::spawn(async move {
                    let _ended = serve(stream, &answer, &tell).await;
                    let _nobody_looks = tell.send(Seen::Closed);
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// The next request's head, a line an item.
    pub(crate) async fn head(&mut self) -> Vec<String> {
        let Seen::Request(request) = self.next().await else { panic!("no request") };
        let request = String::from_utf8(request).unwrap();
        let (head, _) = request.split_once("\r\n\r\n").unwrap();
        head.lines().map(str::to_owned).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &[u8],
    tell: &mpsc::UnboundedSender<Seen>,
) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
        while let Some(length) = request_length(&read) {
            let rest = read.split_off(length);
            let _nobody_looks = tell.send(Seen::Request(std::mem::replace(&mut read, rest)));
            stream.write_all(answer).await?;
        }
    }
}

/// The length of the first request, once all of it is there.
fn request_length(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let fields = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let body = fields.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = head + body.map_or(0, |length| length.parse().unwrap());
    (read.len() >= length).then_some(length)
}

/// What was logged while it was the default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn dispatch(&self) -> Dispatch {
        // If a process has one subscriber alone, tracing asks that of the thread that meets an event
        // first. It may be the thread of another test, which has none, and the event would be off for
        // all.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::default()));
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).without_time();
        Dispatch::new(subscriber.finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
