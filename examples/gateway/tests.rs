//! The unit tests of the example. Cargo runs no tests inside of an example that it also builds.
#![allow(dead_code, reason = "a part of the program")]

mod activity;
mod args;
mod connections;
mod head;
mod peer;
mod units;
