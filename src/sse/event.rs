use std::{borrow::Cow, fmt, time::Duration};

use memchr::{memchr, memchr2};

use super::Frame;

/// Decodes frames into events and remembers the last event id and the retry time.
///
/// A decoder reads every [`Frame`] of a stream in order.
#[derive(Clone, Default)]
pub struct Decoder {
    started: bool,
    last_event_id: String,
    retry: Option<Duration>,
}

/// An event that a client would dispatch.
#[derive(Clone, Eq, PartialEq)]
pub struct Event<'a> {
    event_type: Cow<'a, str>,
    data: Cow<'a, [u8]>,
    last_event_id: &'a str,
}

// === impl Decoder ===

impl Decoder {
    /// Creates a decoder for a new stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the event of `frame`, or `None` when the frame has no data or is oversize.
    pub fn decode<'a>(&'a mut self, frame: &'a Frame) -> Option<Event<'a>> {
        let first = !std::mem::replace(&mut self.started, true);
        if frame.is_oversize() {
            return None;
        }
        let bytes = &frame.bytes()[..];
        let bytes = if first { strip_byte_order_mark(bytes) } else { bytes };

        let mut event_type = Cow::Borrowed("");
        let mut data: Option<Cow<'a, [u8]>> = None;
        for (name, value) in fields(bytes) {
            match name {
                b"event" => event_type = String::from_utf8_lossy(value),
                b"data" => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(lines) => {
                        let lines = lines.to_mut();
                        lines.push(b'\n');
                        lines.extend_from_slice(value);
                    }
                },
                b"id" if memchr(0, value).is_none() => {
                    self.last_event_id.clear();
                    self.last_event_id.push_str(&String::from_utf8_lossy(value));
                }
                b"retry" => self.retry = milliseconds(value).or(self.retry),
                _ => {}
            }
        }
        if event_type.is_empty() {
            event_type = Cow::Borrowed("message");
        }
        Some(Event { event_type, data: data?, last_event_id: &self.last_event_id })
    }

    /// Returns the last `id` so far, or an empty string. It is at most as long as a frame.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the last `retry` so far: the time that a client waits before it reconnects.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("retry", &self.retry).finish_non_exhaustive()
    }
}

// === impl Event ===

impl Event<'_> {
    /// Returns the type, which is `message` unless an `event` field names another.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the data. Several lines are joined with LF.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the data as text.
    ///
    /// A stream is UTF-8 whatever its content type states. Invalid sequences become U+FFFD.
    #[must_use]
    pub fn data_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.data)
    }

    /// Returns the last event id, of this event or an earlier one.
    #[must_use]
    pub const fn last_event_id(&self) -> &str {
        self.last_event_id
    }
}

impl fmt::Debug for Event<'_> {
    // Without the data, which is part of a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("event_type", &self.event_type)
            .field("data", &self.data.len())
            .finish_non_exhaustive()
    }
}

// === parsing (section 9.2.6) ===

/// Removes the byte-order mark that may precede a stream.
pub(crate) fn strip_byte_order_mark(stream: &[u8]) -> &[u8] {
    stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream)
}

/// Returns name and value of each field of a frame, without comments.
pub(crate) fn fields(frame: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = frame;
    let lines = std::iter::from_fn(move || {
        // A CRLF makes an empty line between its two bytes. It is no field because the only blank line
        // of a frame is its last.
        let (line, tail) = split_once(rest, memchr2(b'\n', b'\r', rest)?);
        rest = tail;
        Some(line)
    });
    lines.filter(|line| !line.is_empty() && !line.starts_with(b":")).map(|line| {
        let Some(colon) = memchr(b':', line) else { return (line, &[][..]) };
        let (name, value) = split_once(line, colon);
        (name, value.strip_prefix(b" ").unwrap_or(value))
    })
}

fn split_once(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (before, from) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (before, from.get(1..).unwrap_or_default())
}

fn milliseconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = value.iter().fold(0_u64, |count, digit| {
        count.saturating_mul(10).saturating_add(u64::from(digit & 0x0f))
    });
    Some(Duration::from_millis(count))
}
