//! The upstream of the proxies: a completion of 990 bytes, or a stream of 50 events.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use crate::{Error, load::is_whole};

const EVENTS: usize = 50;

/// A listening upstream. Its threads end with the process.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// Lets the stream send its next event.
    pub(crate) pace: SyncSender<()>,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (pace, paced) = sync_channel(EVENTS);
        let paced = Arc::new(Mutex::new(paced));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let paced = Arc::clone(&paced);
                // A connection that breaks shows at the client.
                thread::spawn(move || drop(serve(stream, &paced)));
            }
        });
        Ok(Self { address, pace })
    }
}

fn serve(mut stream: TcpStream, paced: &Mutex<Receiver<()>>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let completion = completion();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut filled = 0;
        while !is_whole(&buffer[..filled])? {
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
        }
        if !contains(&buffer[..filled], br#""stream":true"#) {
            stream.write_all(&completion)?;
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for number in 0..EVENTS {
            let text = event(number);
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
            paced.lock().unwrap_or_else(PoisonError::into_inner).recv()?;
        }
        stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")?;
    }
}

/// The shape of a completion of vLLM, with the text last before the finish.
pub(crate) fn completion_body() -> String {
    let start = r#"{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104}}"#;
    let text = "seven words of text, then more. ".repeat(32);
    format!("{start}{}{end}", &text[..990 - start.len() - end.len()])
}

fn completion() -> Vec<u8> {
    let body = completion_body();
    format!(
        "HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn event(number: usize) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"stub\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{number:02}\"}},\"finish_reason\":{}}}]}}\n\n",
        if number + 1 == EVENTS { "\"stop\"" } else { "null" },
    )
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
