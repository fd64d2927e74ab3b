//! Shared calls in flight.

mod head;
mod single_flight;
mod table;

pub(crate) use self::{
    head::{CHUNK_OVERHEAD, Chunk, Head, shareable_headers},
    single_flight::{End, Flight, FlightBounds, FlightEvent, FlightSource, Reader, Step},
    table::{Admission, FlightTable},
};
