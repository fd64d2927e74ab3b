//! The upstream of all gateways, on one thread so that it costs the gateways few wake-ups.

use std::{net::SocketAddr, sync::Arc, thread};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Semaphore,
};

use crate::{
    Error,
    load::is_whole,
    messages::{EVENTS, STREAM_END, STREAM_HEAD, completion, event, is_streamed},
};

/// A listening upstream. Its thread ends with the process.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// A stream waits for a permit after each event.
    pace: Arc<Semaphore>,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, Error> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let pace = Arc::new(Semaphore::new(0));
        let paced = Arc::clone(&pace);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(accept(listener, paced))
        });
        Ok(Self { address, pace })
    }

    /// Lets one stream run from its first event to its end.
    pub(crate) fn go_on(&self) {
        self.pace.add_permits(EVENTS);
    }
}

async fn accept(listener: std::net::TcpListener, pace: Arc<Semaphore>) -> Result<(), Error> {
    let listener = TcpListener::from_std(listener)?;
    let completion: Arc<[u8]> = completion().into();
    loop {
        let (stream, _) = listener.accept().await?;
        let (completion, pace) = (Arc::clone(&completion), Arc::clone(&pace));
        // A connection that breaks shows at the client.
        tokio::spawn(async move { serve(stream, &completion, &pace).await });
    }
}

async fn serve(mut stream: TcpStream, completion: &[u8], pace: &Semaphore) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(64 << 10);
    loop {
        request.clear();
        while !is_whole(&request)? {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        if !is_streamed(&request) {
            stream.write_all(completion).await?;
            continue;
        }
        stream.write_all(STREAM_HEAD).await?;
        for number in 0..EVENTS {
            stream.write_all(&event(number)).await?;
            pace.acquire().await?.forget();
        }
        stream.write_all(STREAM_END).await?;
    }
}
