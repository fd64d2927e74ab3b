//! The shared store with real servers: Redis, a cluster of three nodes, and Valkey.
//!
//! Each test starts the servers that it needs. Where one is not installed the test says so and
//! passes, except where `CI` is set.
#![allow(unreachable_pub, reason = "modules of one test crate")]

mod cache_shared;
mod cache_tier;
mod failures;
mod fake;
mod faults;
mod forgetful;
mod gateway;
mod harness;
mod hostile;
mod logged;
mod proxy;
mod script;
mod server;
mod settling;
mod shared;
mod tls;
mod wire;
