//! Server-sent events (WHATWG HTML section 9.2), framed over chunks as they come.
//!
//! Two levels. A [`Framer`] cuts a stream after each blank line: a [`Frame`] holds the exact bytes,
//! so that what was recorded can be sent again with the boundaries it had. A [`Decoder`] says what
//! a frame means: the [`Event`] that a client would dispatch, or none.
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
//! // The `id` stays; the comment is no event; what no blank line closes is never dispatched.
//! assert_eq!(seen, [("one".into(), "7".into()), ("two".into(), "7".into())]);
//! assert_eq!(framer.finish(), "data: cut o");
//! ```
//!
//! # Limits
//!
//! A frame holds at most [`Framer::DEFAULT_MAX_FRAME`] bytes unless [`Framer::max_frame`] says
//! otherwise. A longer one still passes, in [oversize](Frame::is_oversize) pieces that are never
//! buffered and never decoded.
//!
//! A frame that lies within one chunk is a slice of it and keeps the chunk's memory; only a frame
//! that crosses chunks is copied. When a chunk ends between the CR and the LF of a blank line, the
//! frame is given without waiting for the LF, which then begins the next one: events never depend
//! on how a stream is cut, frames do in this one place.

mod event;
mod framer;
mod splitter;

use http::{HeaderMap, header::CONTENT_TYPE};

pub use self::{
    event::{Decoder, Event},
    framer::{Frame, Framer, Frames},
};
pub(crate) use self::{
    event::{fields, strip_byte_order_mark},
    splitter::Splitter,
};

/// Whether a body's type is `text/event-stream`, whatever its parameters.
pub(crate) fn says_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let essence = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}
