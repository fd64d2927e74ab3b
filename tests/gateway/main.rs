//! The example gateway as its users meet it: a process of its own, on a port of its own.
//!
//! `cargo test` builds the example; `cargo test --test gateway` alone wants
//! `cargo build --example gateway` first.

mod admin;
mod audit;
mod aws_iam;
mod bodies;
mod budgets;
mod cache;
mod check;
mod client;
mod closing;
mod demo;
mod drain;
mod failed_authentications;
mod flags;
mod heads;
mod limits;
#[allow(dead_code, reason = "shared with the attacks")]
mod process;
#[path = "../support/program.rs"]
mod program;
mod proxy;
mod ready;
#[path = "../redis/server.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the store")]
mod redis;
mod replay;
mod server;
mod shared;
mod stub;
#[path = "../support/token.rs"]
mod token;
mod upstream_timeouts;
mod upstreams;
#[path = "../redis/wire.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the store")]
mod wire;
