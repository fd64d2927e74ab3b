//! Reads streams of events and of JSON lines.

mod common_form;
mod delivered_text;
mod event_stream;
mod field_name;
mod json_lines;
mod long_event;
mod members;
mod quick_scan;
mod stream_state;
mod tap_update;
mod trimmed_word;

pub(super) use self::{event_stream::EventStream, json_lines::JsonLines, tap_update::TapUpdate};
