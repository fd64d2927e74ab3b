//! Reads server-sent events (WHATWG HTML section 9.2) from the chunks of a stream.
//!
//! A [`Framer`] cuts a stream after each blank line. A [`Frame`] holds the exact bytes so that a
//! recording can be replayed with its boundaries. A [`Decoder`] returns the [`Event`] that a client
//! would dispatch for a frame. It returns `None` for a frame without data.
//!
//! ```
//! use bytes::Bytes;
//! use tower_inference::sse::{Decoder, Framer};
//!
//! let (mut framer, mut decoder) = (Framer::new(), Decoder::new());
//! let mut seen = Vec::new();
//! for chunk in [": keep-alive\n\nid: 7\nda", "ta: one\r\n\r", "\ndata: two\n\ndata: cut o"] {
//!     for frame in framer.push(Bytes::from(chunk)) {
//!         if let Some(event) = decoder.decode(&frame) {
//!             seen.push((event.data_str().into_owned(), event.last_event_id().to_owned()));
//!         }
//!     }
//! }
//!
//! // The `id` persists. A comment is no event. A frame without its blank line is never dispatched.
//! assert_eq!(seen, [("one".into(), "7".into()), ("two".into(), "7".into())]);
//! assert_eq!(framer.finish(), "data: cut o");
//! ```
//!
//! # Caveats
//!
//! A frame holds at most [`Framer::DEFAULT_MAX_FRAME_BYTES`] bytes unless [`Framer::max_frame_bytes`] sets
//! another bound. A longer one passes in [oversize](Frame::is_oversize) pieces. They are never
//! buffered and never decoded.
//!
//! A frame within one chunk is a slice of the chunk and keeps the chunk's memory. Only a frame that
//! crosses chunks is copied. When a chunk ends between the CR and the LF of a blank line, the framer
//! returns the frame at once. The LF then begins the next one. Events never depend on the cuts of a
//! stream. Frames depend on them in this one place.

mod event;
mod framer;
mod splitter;

#[cfg(any(feature = "cache", feature = "throttle", feature = "transform"))]
use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memchr;

pub use self::{
    event::{Decoder, Event},
    framer::{Frame, Framer, Frames},
};
pub(crate) use self::{
    event::{fields, strip_byte_order_mark},
    splitter::Splitter,
};

/// Returns whether the content type is `text/event-stream` with any parameters.
#[cfg(any(feature = "cache", feature = "throttle", feature = "transform"))]
pub(crate) fn says_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is_event_stream(essence(value.as_bytes())))
}

/// Returns a content type without its parameters.
pub(crate) fn essence(content_type: &[u8]) -> &[u8] {
    let end = memchr(b';', content_type).unwrap_or(content_type.len());
    content_type.get(..end).unwrap_or_default().trim_ascii()
}

/// Returns whether a content type without its parameters is `text/event-stream`.
pub(crate) fn is_event_stream(essence: &[u8]) -> bool {
    essence.eq_ignore_ascii_case(b"text/event-stream")
}
