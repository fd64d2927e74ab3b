//! A fake server that sends what a test chooses, and counts the bytes that are read.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    task::{AbortHandle, JoinSet},
};

/// What comes in place of a reply.
#[derive(Clone, Copy, Debug)]
pub enum Flood {
    /// A string that is announced with this length.
    Bytes(u64),
    /// A line that does not end.
    Line,
    /// An error that does not end.
    Error,
    /// An array that is announced with this length, of numbers.
    Numbers(u64),
    /// An array of empty arrays.
    Arrays(u64),
    /// Arrays in arrays.
    Nested,
    /// Replies to nothing.
    Unasked,
    /// Messages of the newer protocol to nobody who listens.
    Pushes,
    /// Bytes of no protocol.
    Garbage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// In place of the first reply.
    AtFirst,
    /// In place of the reply to what is asked once the server is known to be well.
    InUse,
    /// After that reply.
    AfterUse,
}

/// One that floods, and no more than `most` bytes to one connection.
pub struct Fake {
    pub port: u16,
    sent: Arc<AtomicU64>,
    floods: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Flood {
    pub const ALL: [Self; 9] = [
        Self::Bytes(1 << 40),
        Self::Line,
        Self::Error,
        Self::Numbers(1 << 40),
        Self::Arrays(1 << 20),
        Self::Nested,
        Self::Unasked,
        Self::Pushes,
        Self::Garbage,
    ];

    fn beginning(self) -> String {
        match self {
            Self::Bytes(length) => format!("${length}\r\n"),
            Self::Line => "+".to_owned(),
            Self::Error => "-".to_owned(),
            Self::Numbers(length) | Self::Arrays(length) => format!("*{length}\r\n"),
            Self::Nested | Self::Unasked | Self::Pushes | Self::Garbage => String::new(),
        }
    }

    fn piece(self) -> &'static str {
        match self {
            Self::Bytes(_) | Self::Line | Self::Error | Self::Garbage => "xxxxxxxxxxxxxxxx",
            Self::Numbers(_) => ":1\r\n",
            Self::Arrays(_) => "*0\r\n",
            Self::Nested => "*1\r\n",
            Self::Unasked => "+OK\r\n",
            Self::Pushes => ">2\r\n+message\r\n+x\r\n",
        }
    }
}

impl Fake {
    pub async fn start(flood: Flood, when: When, most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sent, floods) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&sent), Arc::clone(&floods));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (sent, floods) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                connections.spawn(async move {
                    let _closed = serve(stream, flood, when, most, &sent, &floods).await;
                });
            }
        });
        Self { port, sent, floods, task: task.abort_handle() }
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Bytes of floods that were taken, by the kernel's buffers among others.
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    /// Floods that have come to their end, because nobody takes more of them.
    pub fn floods(&self) -> usize {
        self.floods.load(SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    flood: Flood,
    when: When,
    most: u64,
    sent: &AtomicU64,
    floods: &AtomicUsize,
) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let mut probes = 0;
    loop {
        let words = command(&mut from).await?;
        let probe = words.iter().any(|word| word == "p" || word.ends_with(":probe"));
        probes += usize::from(probe);
        let used = !probe && probes >= 2 && words[0] != "INFO";
        let floods_now = match when {
            When::AtFirst => true,
            When::InUse => used,
            When::AfterUse => {
                if used {
                    to.write_all(&reply(&words)).await?;
                }
                used
            }
        };
        if floods_now {
            let flooded = pour(&mut to, flood, most, sent).await;
            floods.fetch_add(1, SeqCst);
            return flooded;
        }
        to.write_all(&reply(&words)).await?;
    }
}

async fn pour(
    to: &mut OwnedWriteHalf,
    flood: Flood,
    most: u64,
    sent: &AtomicU64,
) -> io::Result<()> {
    to.write_all(flood.beginning().as_bytes()).await?;
    let pieces = flood.piece().repeat(4_096);
    let mut poured = 0;
    while poured < most {
        let taken = to.write(pieces.as_bytes()).await? as u64;
        // A piece that was cut makes another protocol of what follows.
        let rest = taken as usize % flood.piece().len();
        if rest > 0 {
            to.write_all(&flood.piece().as_bytes()[rest..]).await?;
        }
        poured += taken;
        sent.fetch_add(taken, SeqCst);
    }
    Ok(())
}

/// What a well server says to the commands of the store and of the cache.
fn reply(words: &[String]) -> Vec<u8> {
    let text = match words[0].as_str() {
        "SCRIPT" => "$40\r\n0123456789012345678901234567890123456789\r\n",
        "EVALSHA" | "EVAL" if words.last().is_some_and(|word| word == "p") => "*1\r\n:1\r\n",
        // One limit that allows.
        "EVALSHA" | "EVAL" if words.len() > 8 => {
            "*10\r\n:1\r\n:1\r\n:5\r\n:10\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n"
        }
        "EVALSHA" | "EVAL" | "DEL" => ":1\r\n",
        "GETRANGE" | "GET" => "$0\r\n\r\n",
        "INFO" => "$10\r\n# Memory\r\n\r\n",
        _ => "+OK\r\n",
    };
    text.as_bytes().to_vec()
}

async fn command(from: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..length(from).await? {
        let mut word = vec![0; length(from).await? + 2];
        from.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(words)
}

async fn length(from: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<usize> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.trim_end()[1..].parse().map_err(io::Error::other)
}
