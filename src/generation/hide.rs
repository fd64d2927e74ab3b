//! The usage chunk that was asked for on the caller's behalf is hidden from the caller.

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
        filter: Filter,
    }
}

impl<B: Body<Data = Bytes>> HideUsage<B> {
    /// Hides the chunk of an answer that [is an event stream](is_event_stream). What a watch is to
    /// see stands in `response` already.
    pub(crate) fn of_response(mut response: Response<B>) -> Response<Self> {
        // They would be true of another body.
        response.headers_mut().remove(CONTENT_LENGTH);
        remove_digests(response.headers_mut());
        response.map(|body| {
            let filter = Filter::new(body.is_end_stream());
            Self { body, filter }
        })
    }
}

/// Whether an answer is an event stream that can be read.
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
            if filter.over {
                return Poll::Ready(None);
            }
            let shown = match ready!(body.as_mut().poll_frame(cx)) {
                None => filter.finish(),
                Some(Err(error)) => {
                    filter.over = true;
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
        self.filter.over && self.filter.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // How much is hidden is known when it was.
        if self.filter.over { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Lets all events pass but the usage chunk.
struct Filter {
    framer: Framer,
    decoder: Decoder,
    // The last frame was hidden and ended with a carriage return, whose line feed may still come.
    hid_carriage_return: bool,
    // Come when all data was shown.
    trailers: Option<HeaderMap>,
    over: bool,
}

impl Filter {
    /// The longest event that is held back until it is complete. The chunk has a few hundred bytes.
    const MAX_EVENT: usize = 64 * 1024;

    fn new(over: bool) -> Self {
        let framer = Framer::new().max_frame(Self::MAX_EVENT);
        let decoder = Decoder::new();
        Self { framer, decoder, hid_carriage_return: false, trailers: None, over }
    }

    /// What to show of the events that `data` completes: a piece of it, unless something is hidden.
    fn push(&mut self, data: Bytes) -> Bytes {
        let (mut whole, mut length) = (data.clone(), 0);
        let Self { framer, decoder, hid_carriage_return, .. } = self;
        let mut edited = (framer.pending() > 0).then(Vec::new);
        for frame in framer.push(data) {
            let mut bytes = frame.bytes().clone();
            let late = std::mem::take(hid_carriage_return) && bytes.starts_with(b"\n");
            if late {
                bytes.advance(1);
            }
            let hidden = is_usage_chunk(decoder, &frame);
            if hidden {
                let beside = beside_the_event(&bytes);
                *hid_carriage_return = bytes.ends_with(b"\r") && !beside.ends_with(b"\r");
                bytes = beside;
            }
            if late || hidden {
                edited.get_or_insert_with(|| whole.get(..length).unwrap_or_default().to_vec());
            }
            match &mut edited {
                Some(edited) => edited.extend_from_slice(&bytes),
                None => length += bytes.len(),
            }
        }
        whole.truncate(length);
        edited.map_or(whole, Bytes::from)
    }

    /// What to show of an event that no blank line closed. Clients that read line by line take it
    /// for one.
    fn finish(&mut self) -> Bytes {
        self.over = true;
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

/// What else stands in a frame whose event is hidden, byte for byte: the line feed of a line end that
/// was cut, comments, an id.
fn beside_the_event(frame: &Bytes) -> Bytes {
    let mut rest = strip_byte_order_mark(frame);
    let mut beside = Vec::new();
    let mut says_something = false;
    if let Some(after) = rest.strip_prefix(b"\n") {
        beside.push(b'\n');
        rest = after;
    }
    let late = beside.len();
    while let Some(at) = memchr2(b'\n', b'\r', rest) {
        let (content, end) = rest.split_at_checked(at).unwrap_or_default();
        let end_length = if end.starts_with(b"\r\n") { 2 } else { 1 };
        let (line, after) = rest.split_at_checked(at + end_length).unwrap_or((rest, &[]));
        rest = after;
        let name = content.split(|byte| *byte == b':').next().unwrap_or_default();
        if !matches!(name, b"data" | b"event") {
            says_something |= !content.is_empty();
            beside.extend_from_slice(line);
        }
    }
    if !says_something {
        // The blank line closed the event alone.
        beside.truncate(late);
    }
    beside.into()
}

fn join(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() { first } else { [first, second.clone()].concat().into() }
}

/// The chunk that OpenAI's streams end with when they are asked for usage: no choices, and the
/// usage (`stream_options.include_usage` in OpenAI's API reference). Not one that says more: an
/// error, or that it is an event of its own kind.
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

/// So that the other chunks are not read: they have choices, and often a `"usage": null`.
fn may_be_without_choices(data: &[u8]) -> bool {
    const CHOICES: &[u8] = b"\"choices\"";
    memmem::find_iter(data, CHOICES).any(|at| {
        let value = data.get(at + CHOICES.len()..).unwrap_or_default().trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        let inside = value.strip_prefix(b"[").unwrap_or_default();
        inside.trim_ascii_start().starts_with(b"]")
    })
}
