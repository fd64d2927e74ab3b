//! Streams in flight through the example. The upstream sends an event on each of them at a time.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http_body_util::channel::Channel;
use tokio::sync::watch;

use crate::{
    Error, bare,
    gateways::{Gateways, check_open_files, in_groups},
    server::Server,
    stub::{self, Answer},
    table::{self, Row, grouped, memory_each},
    turns::{Round, take_turns},
};

const STREAMS: [usize; 3] = [100, 1_000, 5_000];
const ROUNDS: usize = 15;
/// The events of one side in a round.
const EVENTS: usize = 10_000;

pub(crate) fn measure() -> Result<(), Error> {
    let gateways = Gateways::new()?;
    let request = gateways.request(true);
    turns("streams in flight, an event", &request, |upstream| gateways.start(upstream, 1))?;
    turns("streams in flight, an event, bare proxy", &request, |upstream| {
        Server::start(&mut bare::command(upstream)?)
    })
}

fn turns(
    what: &str,
    request: &[u8],
    start: impl Fn(SocketAddr) -> Result<Server, Error>,
) -> Result<(), Error> {
    check_open_files(16_000)?;
    let mut subjects = Vec::new();
    for streams in STREAMS {
        subjects.push(Subject::open(streams, request, &start)?);
    }
    let sides = subjects.iter_mut().map(|subject| Box::new(|| subject.round()) as Round<'_>);
    let costs = take_turns(ROUNDS, &mut sides.collect::<Vec<_>>())?;
    let row = |subject: &Subject| Row {
        size: grouped(subject.readers.connections.len()),
        each: subject.memory.clone(),
    };
    table::print(what, "µs of CPU", &subjects.iter().map(row).collect::<Vec<_>>(), &costs);
    subjects.into_iter().try_for_each(Subject::finish)
}

/// A server with streams in flight.
struct Subject {
    server: Server,
    pace: watch::Sender<usize>,
    readers: Readers,
    memory: String,
}

impl Subject {
    fn open(
        streams: usize,
        request: &[u8],
        start: impl Fn(SocketAddr) -> Result<Server, Error>,
    ) -> Result<Self, Error> {
        let pace = watch::Sender::new(0);
        let events = pace.subscribe();
        let upstream = stub::start(move || paced(events.clone()))?;
        let server = start(upstream)?;
        let mut readers = Readers { connections: Vec::new(), buffer: vec![0; 16 << 10] };
        // Memory of the first stream does not count for the others.
        readers.open(server.address, 1, request)?;
        let before = server.resident()?;
        readers.open(server.address, streams - 1, request)?;
        let grown = server.resident()?.saturating_sub(before);
        Ok(Self { server, pace, readers, memory: memory_each(grown, streams, "a stream") })
    }

    /// Returns the microseconds of CPU of an event.
    fn round(&mut self) -> Result<f64, Error> {
        let streams = self.readers.connections.len();
        let times = EVENTS / streams;
        let before = self.server.cpu()?;
        for _ in 0..times {
            self.pace.send_modify(|number| *number += 1);
            self.readers.read_events()?;
        }
        let spent = self.server.cpu()? - before;
        Ok(spent.as_secs_f64() * 1e6 / (times * streams) as f64)
    }

    /// Ends the streams.
    fn finish(mut self) -> Result<(), Error> {
        drop(self.pace);
        self.readers.read_ends()
    }
}

/// Sends an event at the start and whenever the number changes.
fn paced(mut number: watch::Receiver<usize>) -> Result<Answer, Error> {
    let (mut sender, body) = Channel::new(1);
    number.mark_unchanged();
    tokio::spawn(async move {
        loop {
            let event = stub::event(*number.borrow_and_update());
            if sender.send_data(event).await.is_err() || number.changed().await.is_err() {
                return;
            }
        }
    });
    stub::event_stream(body)
}

/// Connections with one stream each.
struct Readers {
    connections: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Readers {
    /// Opens more streams and reads their first events.
    fn open(&mut self, address: SocketAddr, streams: usize, request: &[u8]) -> Result<(), Error> {
        for group in in_groups(streams) {
            let first = self.connections.len();
            for _ in 0..group {
                let mut connection = TcpStream::connect(address)?;
                connection.set_read_timeout(Some(Duration::from_secs(30)))?;
                connection.write_all(request)?;
                self.connections.push(connection);
            }
            self.read_events_from(first)?;
        }
        Ok(())
    }

    /// Reads the next event of each stream.
    fn read_events(&mut self) -> Result<(), Error> {
        self.read_events_from(0)
    }

    /// Reads the ends of the streams.
    fn read_ends(&mut self) -> Result<(), Error> {
        for connection in &mut self.connections {
            let mut filled = 0;
            while !self.buffer[..filled].ends_with(b"0\r\n\r\n") {
                match connection.read(&mut self.buffer[filled..])? {
                    0 => return Err("a stream was cut off".into()),
                    read => filled += read,
                }
            }
        }
        Ok(())
    }

    fn read_events_from(&mut self, first: usize) -> Result<(), Error> {
        for connection in &mut self.connections[first..] {
            let mut filled = 0;
            // The end of an event may arrive with the next one.
            while !has_event(&self.buffer[..filled]) {
                let read = connection.read(&mut self.buffer[filled..])?;
                if read == 0 {
                    let text = String::from_utf8_lossy(&self.buffer[..filled]);
                    return Err(format!("a stream ended: {text}").into());
                }
                filled += read;
            }
        }
        Ok(())
    }
}

fn has_event(bytes: &[u8]) -> bool {
    const IN_EVENT: &[u8] = b"\"delta\"";
    bytes.windows(IN_EVENT.len()).any(|window| window == IN_EVENT)
}
