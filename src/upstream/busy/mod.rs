//! The responses of an upstream that is busy or cold: how long a client should wait, and whether
//! waiting helps.

mod body;
mod date;
mod headers;
mod reading;
mod seconds;
#[cfg(test)]
mod tests;

pub(super) use self::reading::{BusyResponse, MAX_BODY_BYTES};
