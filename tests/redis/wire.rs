//! A client that shares no code with the store: RESP2 by hand, for what a test does to a server.

use std::{
    io::{self, BufRead, BufReader, Error, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A connection that asks one thing after another, and blocks.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    Line(String),
    Error(String),
    Number(i64),
    Bytes(Vec<u8>),
    Nothing,
    List(Vec<Self>),
}

impl Wire {
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn try_ask(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request)?;
        self.reply()
    }

    /// What the server says to a line of words without spaces in them.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.try_ask(&words).unwrap()
    }

    /// The same, where the server must not say no.
    #[track_caller]
    pub fn must(&mut self, line: &str) -> Reply {
        let reply = self.ask(line);
        assert!(!matches!(reply, Reply::Error(_)), "{line}: {reply:?}");
        reply
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
        let number = || rest.parse::<i64>().map_err(Error::other);
        Ok(match kind {
            "+" => Reply::Line(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(number()?),
            "$" | "*" => match (kind, usize::try_from(number()?)) {
                (_, Err(_)) => Reply::Nothing,
                ("$", Ok(length)) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
                (_, Ok(length)) => {
                    Reply::List((0..length).map(|_| self.reply()).collect::<Result<_, _>>()?)
                }
            },
            _ => return Err(Error::other(line)),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Reply {
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Line(line) => line.into_bytes(),
            Self::List(list) => list.into_iter().flat_map(Self::bytes).collect(),
            other => format!("{other:?}").into_bytes(),
        }
    }

    pub fn text(self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            other => panic!("not a list: {other:?}"),
        }
    }

    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("not a number: {other:?}"),
        }
    }
}
