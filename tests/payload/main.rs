//! Payload tests: parsing, the body type, the layer and real servers.

#[path = "../support/conformance.rs"]
mod conformance;
#[path = "../support/edits.rs"]
mod edits;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/reader.rs"]
mod reader;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/token.rs"]
mod token;
#[path = "../support/wire.rs"]
mod wire;

mod body;
mod bounds;
mod codings;
mod edit;
mod json;
mod layer;
mod memory;
mod nesting;
mod passing;
mod servers;
