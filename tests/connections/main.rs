//! Connections that upstreams close: what `HttpsClient` does in each case.
//!
//! `table` has a row for each party and shape, with its source and a test. The other modules hold
//! the client to what the rows have in common.

mod allocations;
mod caller;
mod http1;
mod http2;
mod pool;
mod rules;
mod table;
mod timed;
mod uvicorn;
mod window;
