//! Payload tests: parsing, the body type, the layer and real servers.

mod support;
#[path = "support/token.rs"]
mod token;
#[path = "support/wire.rs"]
mod wire;

#[path = "payload/body.rs"]
mod body;
#[path = "payload/codings.rs"]
mod codings;
#[path = "support/conformance.rs"]
mod conformance;
#[path = "payload/edit.rs"]
mod edit;
#[path = "support/edits.rs"]
mod edits;
#[path = "payload/json.rs"]
mod json;
#[path = "payload/layer.rs"]
mod layer;
#[path = "payload/memory.rs"]
mod memory;
#[path = "payload/nesting.rs"]
mod nesting;
#[path = "payload/passing.rs"]
mod passing;
#[path = "support/reader.rs"]
mod reader;
#[path = "payload/servers.rs"]
mod servers;
