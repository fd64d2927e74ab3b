//! Idle connections beside 32 busy ones.

use crate::{
    Error, bare,
    gateways::{Gateways, check_open_files, upstream},
    server::Server,
    table::{self, Row, grouped, memory_each},
    turns::take_turns,
};

const IDLE: [usize; 3] = [0, 1_000, 10_000];
/// The gateway closes a connection that was idle for 75 seconds, so that the rounds must be fewer.
const ROUNDS: usize = 75;

pub(crate) fn measure() -> Result<(), Error> {
    check_open_files(12_000)?;
    let gateways = Gateways::new()?;
    let upstream = upstream()?;
    turns("idle connections", &gateways, || gateways.start(upstream, 1))?;
    turns("idle connections, bare proxy", &gateways, || {
        Server::start(&mut bare::command(upstream)?)
    })
}

fn turns(
    what: &str,
    gateways: &Gateways,
    start: impl Fn() -> Result<Server, Error>,
) -> Result<(), Error> {
    let servers = IDLE.iter().map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    let (mut rows, mut sides, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for (idle, server) in IDLE.into_iter().zip(&servers) {
        let mut side = gateways.load(server)?;
        // Memory of the first requests does not count for the idle connections.
        side()?;
        let before = server.resident()?;
        open.push(gateways.idle(server, idle)?);
        let grown = server.resident()?.saturating_sub(before);
        rows.push(Row { size: grouped(idle), each: memory_each(grown, idle, "a connection") });
        sides.push(side);
    }
    let costs = take_turns(ROUNDS, &mut sides)?;
    table::print(what, "µs of CPU", &rows, &costs);
    Ok(())
}
