//! Cases from public bug reports of clients, servers and gateways: each module has a table of its
//! parties, with sources, and one test for each reported case.

#[path = "../support/mod.rs"]
mod support;

mod budget;
mod ends;
mod forms;
mod profile;
