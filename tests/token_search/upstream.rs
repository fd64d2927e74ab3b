//! An upstream on loopback that repeats the token wherever a response has room for it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::HeaderName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::leak::spellings;

/// What the upstream does with the next request.
#[derive(Clone, Debug)]
pub enum Script {
    /// Sends these bytes and closes the connection.
    Send(Vec<u8>),
    /// Sends these bytes and keeps the connection open.
    Stall(Vec<u8>),
    /// Sends these bytes and resets the connection.
    Reset(Vec<u8>),
}

#[derive(Debug)]
pub struct Upstream {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::Send(Vec::new())));
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let (of_task, heads) = (Arc::clone(&script), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, heads) = (of_task.lock().unwrap().clone(), Arc::clone(&heads));
                tokio::spawn(async move {
                    // The gateway may leave first.
                    let _left = play(stream, script, &heads).await;
                });
            }
        });
        Self { address, script, seen, task }
    }

    pub fn play(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(
    mut stream: TcpStream,
    script: Script,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    // The body is JSON, so its last byte is its end.
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let (Script::Send(bytes) | Script::Stall(bytes) | Script::Reset(bytes)) = &script;
    stream.write_all(bytes).await?;
    match script {
        Script::Send(_) => stream.shutdown().await,
        Script::Stall(_) => stream.read_buf(&mut request).await.map(drop),
        Script::Reset(_) => {
            socket_reset(&stream);
            Ok(())
        }
    }
}

/// Makes the close of the stream a reset.
fn socket_reset(stream: &TcpStream) {
    #[expect(deprecated, reason = "a linger of zero does not block")]
    stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// Headers that repeat the token in every spelling, also in their names where these allow it.
pub fn echoing_headers(token: &str) -> String {
    let spellings = spellings(token);
    let is_name = |text: &&String| HeaderName::try_from(text.as_str()).is_ok();
    let names = spellings.iter().filter(is_name).map(|name| format!("x-{name}: 1\r\n"));
    let values = spellings.iter().enumerate();
    names.chain(values.map(|(nth, text)| format!("x-echo-{nth}: key {text} end\r\n"))).collect()
}

/// A response whose head and trailers repeat the token, with this body.
pub fn response(token: &str, status: u16, more: &str, body: &str) -> Vec<u8> {
    let (headers, length) = (echoing_headers(token), body.len());
    let trailers: String = spellings(token)
        .into_iter()
        .enumerate()
        .map(|(nth, spelling)| format!("x-trailer-{nth}: {spelling}\r\n"))
        .collect();
    format!(
        "HTTP/1.1 {status} no {token}\r\n{headers}{more}content-type: application/json\r\n\
         transfer-encoding: chunked\r\ntrailer: x-trailer-0\r\n\r\n\
         {length:x}\r\n{body}\r\n0\r\n{trailers}\r\n"
    )
    .into_bytes()
}
