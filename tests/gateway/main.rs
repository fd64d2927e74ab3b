//! The example gateway as its users meet it: a process of its own, on a port of its own.
//!
//! `cargo test` builds the example; `cargo test --test gateway` alone wants
//! `cargo build --example gateway` first.

#[path = "../../examples/gateway/activity.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod activity;
#[path = "../../examples/gateway/allowed.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod allowed;
#[path = "../../examples/gateway/args.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod args;
#[path = "../../examples/gateway/connections.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod connections;
#[path = "../../examples/gateway/head.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod head;
#[path = "../../examples/gateway/peer.rs"]
#[allow(dead_code, reason = "its own tests run here, where `cargo test` looks")]
mod peer;
#[path = "../../examples/gateway/units.rs"]
mod units;

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
#[path = "../redis/wire.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the store")]
mod wire;
