//! Streams in flight through the example. The upstream sends an event on each of them at a time.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http_body_util::channel::Channel;
use tokio::sync::watch;

use crate::{
    Error,
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
    check_open_files(16_000)?;
    let gateways = Gateways::new()?;
    let request = gateways.request(true);
    let mut started = Vec::new();
    for _ in STREAMS {
        let pace = watch::Sender::new(0);
        let events = pace.subscribe();
        let upstream = stub::start(move || paced(events.clone()))?;
        started.push((gateways.start(upstream, 1)?, pace));
    }
    let (mut rows, mut sides) = (Vec::new(), Vec::new());
    for (streams, (server, pace)) in STREAMS.into_iter().zip(&started) {
        // Memory of the first stream does not count for the others.
        let first = Readers::open(server.address, 1, &request)?;
        let before = server.resident()?;
        let mut readers = Readers::open(server.address, streams, &request)?;
        let grown = server.resident()?.saturating_sub(before);
        drop(first);
        let each = memory_each(grown, streams as u64, "stream");
        rows.push(Row { size: grouped(streams as u64), each });
        sides.push(Box::new(move || run(server, pace, &mut readers)) as Round<'_>);
    }
    let costs = take_turns(ROUNDS, &mut sides)?;
    table::print("streams in flight, an event", "µs of CPU", &rows, &costs);
    Ok(())
}

/// Returns the microseconds of CPU of an event.
fn run(server: &Server, pace: &watch::Sender<usize>, readers: &mut Readers) -> Result<f64, Error> {
    let times = EVENTS / readers.connections.len();
    let before = server.cpu()?;
    for _ in 0..times {
        pace.send_modify(|number| *number += 1);
        readers.read_events()?;
    }
    let events = times * readers.connections.len();
    Ok((server.cpu()? - before).as_secs_f64() * 1e6 / events as f64)
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
    /// Opens streams and reads their first events.
    fn open(address: SocketAddr, streams: usize, request: &[u8]) -> Result<Self, Error> {
        let mut readers = Self { connections: Vec::new(), buffer: vec![0; 16 << 10] };
        for group in in_groups(streams) {
            let first = readers.connections.len();
            for _ in 0..group {
                let mut connection = TcpStream::connect(address)?;
                connection.set_read_timeout(Some(Duration::from_secs(30)))?;
                connection.write_all(request)?;
                readers.connections.push(connection);
            }
            readers.read_events_from(first)?;
        }
        Ok(readers)
    }

    /// Reads the next event of each stream.
    fn read_events(&mut self) -> Result<(), Error> {
        self.read_events_from(0)
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
