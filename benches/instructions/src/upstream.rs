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

use crate::{
    Error,
    load::is_whole,
    messages::{EVENTS, STREAM_END, STREAM_HEAD, completion, event, is_streamed},
};

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
        if !is_streamed(&buffer[..filled]) {
            stream.write_all(&completion)?;
            continue;
        }
        stream.write_all(STREAM_HEAD)?;
        for number in 0..EVENTS {
            stream.write_all(&event(number))?;
            paced.lock().unwrap_or_else(PoisonError::into_inner).recv()?;
        }
        stream.write_all(STREAM_END)?;
    }
}
