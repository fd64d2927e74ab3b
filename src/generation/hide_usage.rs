//! Hides the usage chunk that only the gateway requested.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use memchr::{memchr2, memmem};
use pin_project_lite::pin_project;

use crate::{
    body::{is_coded, remove_digests},
    payload::{Document, Kind},
    sse::{self, Decoder, Framer, says_event_stream, strip_byte_order_mark},
};

pin_project! {
    /// An event stream without its usage chunk.
    pub(crate) struct HideUsage<B> {
        #[pin]
        body: B,
        filter: UsageFilter,
    }
}

impl<B: Body<Data = Bytes>> HideUsage<B> {
    /// Hides the chunk of a response that [is an event stream](is_event_stream).
    ///
    /// A watch that must see the chunk wraps the body of `response` before.
    pub(crate) fn of_response(mut response: Response<B>) -> Response<Self> {
        // These headers describe the unfiltered body.
        response.headers_mut().remove(CONTENT_LENGTH);
        remove_digests(response.headers_mut());
        response.map(|body| {
            let filter = UsageFilter::new(body.is_end_stream());
            Self { body, filter }
        })
    }
}

/// Returns whether a response is an event stream without a content coding.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    says_event_stream(headers) && !is_coded(headers)
}

impl<B: Body<Data = Bytes>> Body for HideUsage<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let (mut body, filter) = (this.body, this.filter);
        loop {
            if let Some(trailers) = filter.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if filter.ended {
                return Poll::Ready(None);
            }
            let shown = match ready!(body.as_mut().poll_frame(cx)) {
                None => filter.finish(),
                Some(Err(error)) => {
                    filter.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if body.is_end_stream() => {
                        let shown = filter.push(data);
                        join(shown, &filter.finish())
                    }
                    Ok(data) => filter.push(data),
                    Err(frame) => {
                        filter.trailers = frame.into_trailers().ok();
                        filter.finish()
                    }
                },
            };
            if !shown.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(shown))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.filter.ended && self.filter.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // The hidden length is not known before the end.
        if self.filter.ended { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Passes all events except the usage chunk.
struct UsageFilter {
    framer: Framer,
    decoder: Decoder,
    // The last frame was hidden and ended with a carriage return, whose line feed may still come.
    hid_carriage_return: bool,
    // Returned after all data.
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl UsageFilter {
    /// The maximum size of an event that is buffered until it is complete. The chunk has a few hundred
    /// bytes.
    const MAX_EVENT: usize = 64 * 1024;

    fn new(ended: bool) -> Self {
        let framer = Framer::new().max_frame_bytes(Self::MAX_EVENT);
        let decoder = Decoder::new();
        Self { framer, decoder, hid_carriage_return: false, trailers: None, ended }
    }

    /// Returns the visible bytes of the events that `data` completes. Without a hidden event they are a
    /// slice of `data`.
    fn push(&mut self, data: Bytes) -> Bytes {
        let (mut unchanged, mut length) = (data.clone(), 0);
        let Self { framer, decoder, hid_carriage_return, .. } = self;
        let mut edited = (framer.pending() > 0).then(Vec::new);
        for frame in framer.push(data) {
            let mut bytes = frame.bytes().clone();
            let second_half = std::mem::take(hid_carriage_return) && bytes.starts_with(b"\n");
            if second_half {
                bytes.advance(1);
            }
            let hidden = is_usage_chunk(decoder, &frame);
            if hidden {
                let others = other_lines(&bytes);
                *hid_carriage_return = bytes.ends_with(b"\r") && !others.ends_with(b"\r");
                bytes = others;
            }
            if second_half || hidden {
                edited.get_or_insert_with(|| unchanged.get(..length).unwrap_or_default().to_vec());
            }
            match &mut edited {
                Some(edited) => edited.extend_from_slice(&bytes),
                None => length += bytes.len(),
            }
        }
        unchanged.truncate(length);
        edited.map_or(unchanged, Bytes::from)
    }

    /// Ends the stream and returns the visible bytes of an event without a blank line. Clients that read
    /// line by line accept such an event.
    fn finish(&mut self) -> Bytes {
        self.ended = true;
        let mut rest = std::mem::take(&mut self.framer).finish();
        if self.hid_carriage_return && rest.starts_with(b"\n") {
            rest.advance(1);
        }
        if rest.is_empty() {
            return rest;
        }
        let closed = [&rest[..], b"\n\n"].concat();
        let usage = Framer::new()
            .push(closed.into())
            .next()
            .is_some_and(|frame| is_usage_chunk(&mut self.decoder, &frame));
        if usage { Bytes::new() } else { rest }
    }
}

/// Returns the other lines of a frame whose event is hidden, such as comments and an id, and the line
/// feed of a split line end.
fn other_lines(frame: &Bytes) -> Bytes {
    let mut rest = strip_byte_order_mark(frame);
    let mut others = Vec::new();
    let mut has_content = false;
    if let Some(after) = rest.strip_prefix(b"\n") {
        others.push(b'\n');
        rest = after;
    }
    let start = others.len();
    while let Some(at) = memchr2(b'\n', b'\r', rest) {
        let (content, end) = rest.split_at_checked(at).unwrap_or_default();
        let end_length = if end.starts_with(b"\r\n") { 2 } else { 1 };
        let (line, after) = rest.split_at_checked(at + end_length).unwrap_or((rest, &[]));
        rest = after;
        let name = content.split(|byte| *byte == b':').next().unwrap_or_default();
        if !matches!(name, b"data" | b"event") {
            has_content |= !content.is_empty();
            others.extend_from_slice(line);
        }
    }
    if !has_content {
        // The remaining blank line belongs to the hidden event.
        others.truncate(start);
    }
    others.into()
}

fn join(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() { first } else { [first, second.clone()].concat().into() }
}

/// Returns whether a frame is the usage chunk at the end of a stream: no choices and the usage
/// (`stream_options.include_usage` in OpenAI's API reference).
///
/// An event with an error or a type of its own is not the chunk.
fn is_usage_chunk(decoder: &mut Decoder, frame: &sse::Frame) -> bool {
    let Some(event) = decoder.decode(frame) else { return false };
    if event.event_type() != "message" || !may_be_without_choices(event.data()) {
        return false;
    }
    let Ok(chunk) = Document::parse(event.data().to_vec()) else { return false };
    let member = |name, kind| chunk.root().get(name).filter(|value| value.kind() == kind);
    member("choices", Kind::Array).is_some_and(|choices| choices.is_empty())
        && member("usage", Kind::Object).is_some()
        && chunk.root().get("error").is_none_or(|error| error.kind() == Kind::Null)
}

/// Returns whether a chunk may have no choices. It saves parsing the other chunks, which often have a
/// `"usage": null`.
fn may_be_without_choices(data: &[u8]) -> bool {
    const CHOICES: &[u8] = b"\"choices\"";
    memmem::find_iter(data, CHOICES).any(|at| {
        let value = data.get(at + CHOICES.len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        let inside = value.strip_prefix(b"[").unwrap_or_default();
        inside.trim_ascii_start().starts_with(b"]")
    })
}
