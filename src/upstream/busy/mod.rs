//! The responses of an upstream that is busy or cold: how long a client should wait, and whether
//! waiting helps.

mod body;
mod headers;
mod reading;
#[cfg(test)]
mod tests;

pub(super) use self::reading::{BusyResponse, MAX_BODY_BYTES};
