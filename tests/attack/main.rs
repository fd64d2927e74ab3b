//! Attacks on the example gateway, a process of its own, each beside an honest client.
//!
//! Each test states the bound that the gateway keeps in bytes, counts or responses, never in
//! times. With `ATTACK=long` in the environment, as in `.ci/run`, the attacks have the size at
//! which they were found to succeed; without it they are smaller, so that `cargo test` stays fast.

#[path = "../gateway/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod client;
#[path = "../redis/fake.rs"]
#[allow(dead_code, reason = "shared with the tests of the store")]
mod fake;
mod memory;
#[path = "../gateway/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod process;
#[path = "../redis/server.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the store")]
mod redis;
#[path = "../gateway/stub.rs"]
#[allow(dead_code, reason = "shared with the tests of the gateway")]
mod stub;
#[path = "../support/token.rs"]
mod token;
#[path = "../redis/wire.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the store")]
mod wire;

mod bodies;
mod budgets;
mod cpu;
mod doors;
mod followers;
mod kept;
mod output;
mod recordings;
mod redis_limits;
mod secrets;
mod slots;

/// The size of an attack: `long` where `ATTACK=long` asks for it, `short` elsewhere.
#[allow(dead_code, reason = "each attack has its own use of it")]
fn size(short: usize, long: usize) -> usize {
    if std::env::var_os("ATTACK").is_some_and(|value| value == "long") { long } else { short }
}
