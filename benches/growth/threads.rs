//! Threads of the example.

use crate::{
    Error,
    gateways::{Gateways, upstream},
    server::Server,
    table::{self, Row},
    turns::take_turns,
};

const THREADS: [u32; 2] = [1, 2];
const ROUNDS: usize = 101;

pub(crate) fn measure() -> Result<(), Error> {
    let gateways = Gateways::new()?;
    let upstream = upstream()?;
    let start = |threads: &u32| gateways.start(upstream, *threads);
    let servers: Vec<Server> = THREADS.iter().map(start).collect::<Result<_, _>>()?;
    let load = |server| gateways.load(server);
    let mut sides: Vec<_> = servers.iter().map(load).collect::<Result<_, _>>()?;
    let costs = take_turns(ROUNDS, &mut sides)?;
    let rows = THREADS.map(|threads| Row { size: threads.to_string(), each: String::new() });
    table::print("threads", "µs of CPU", &rows, &costs);
    Ok(())
}
