//! A client with blocking sockets. It sends the same bytes in the same order in each run.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::Error;

pub(crate) const CONNECTIONS: usize = 32;
/// A server that is silent for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections with at most one request in flight each.
pub(crate) struct Client {
    connections: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, connections: usize) -> Result<Self, Error> {
        let connect = |_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let connections = (0..connections).map(connect).collect::<Result<_, Error>>()?;
        Ok(Self { connections, buffer: vec![0; 64 << 10] })
    }

    /// Sends requests on all connections, then reads their responses, until `requests` are through.
    pub(crate) fn run(
        &mut self,
        requests: usize,
        request: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(), Error> {
        for round in 0..requests / self.connections.len() {
            let first = round * self.connections.len();
            for (number, connection) in self.connections.iter_mut().enumerate() {
                connection.write_all(&request(first + number))?;
            }
            for connection in &mut self.connections {
                receive(connection, &mut self.buffer, |_| Ok(()))?;
            }
        }
        Ok(())
    }

    /// Runs one streamed request at a time on one connection. `after` runs after each read.
    pub(crate) fn run_streams(
        &mut self,
        requests: usize,
        request: &[u8],
        mut after: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let connection = self.connections.first_mut().ok_or("no connection")?;
        for _ in 0..requests {
            connection.write_all(request)?;
            receive(connection, &mut self.buffer, &mut after)?;
        }
        Ok(())
    }
}

/// Reads one response, which must be a success.
fn receive(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    mut after: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        after(&buffer[filled..filled + read])?;
        filled += read;
        if is_whole(&buffer[..filled])? {
            break;
        }
    }
    let status = buffer.get(9..12).ok_or("a short response")?;
    if status == b"200" {
        return Ok(());
    }
    Err(format!("the server sent {}", String::from_utf8_lossy(&buffer[..filled])).into())
}

/// Returns whether `message` is complete: a head, and a body of the given length or in chunks.
pub(crate) fn is_whole(message: &[u8]) -> Result<bool, Error> {
    let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = std::str::from_utf8(&message[..end])?.to_ascii_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
    };
    let body = &message[end + 4..];
    match (field("content-length"), field("transfer-encoding")) {
        (Some(length), _) => Ok(body.len() >= length.trim().parse()?),
        (None, Some(_)) => Ok(body.ends_with(b"0\r\n\r\n")),
        (None, None) => Ok(true),
    }
}

/// A chat request of 320 bytes.
pub(crate) fn request(token: &str, stream: bool) -> Vec<u8> {
    chat_request(&format!("authorization: Bearer {token}\r\n"), stream)
}

/// The same with other header fields. Each line of `fields` is a header field and ends with CR LF.
pub(crate) fn chat_request(fields: &str, stream: bool) -> Vec<u8> {
    let (start, end) = (
        r#"{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"user","content":""#,
        format!(r#""}}],"max_tokens":64,"temperature":0,"stream":{stream}}}"#),
    );
    let prompt = "seven words of a prompt, then more. ".repeat(8);
    let body = format!("{start}{}{end}", &prompt[..320 - start.len() - end.len()]);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\naccept: application/json\r\nuser-agent: OpenAI/Python 3.54.0\r\n{fields}\r\n{body}",
        body.len(),
    )
    .into_bytes()
}
