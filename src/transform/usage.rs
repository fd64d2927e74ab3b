//! The usage chunk that was asked for on the caller's behalf is hidden from the caller.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::{Body, Frame, SizeHint};
use memchr::memmem;
use pin_project_lite::pin_project;

use crate::{
    body::{self, BodyEnd, Watch, WatchedBody},
    context::RequestContext,
    payload::{Document, Kind},
    sse::{self, Decoder, Framer},
    tap::Tap,
};

pin_project! {
    /// The body of an answer, as the caller gets it.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Shown<B>,
    }
}

pin_project! {
    #[project = ShownProj]
    enum Shown<B> {
        All { #[pin] body: body::ResponseBody<B> },
        WithoutUsage { #[pin] body: WatchedBody<B, Tapped>, filter: Filter },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn plain(body: body::ResponseBody<B>) -> Self {
        Self { kind: Shown::All { body } }
    }
}

/// Hides the usage chunk, if the answer is an event stream that can be read.
pub(super) fn hide<B: Body<Data = Bytes>>(
    response: Response<B>,
    context: &RequestContext,
) -> Response<ResponseBody<B>> {
    if !response.status().is_success() || !is_event_stream(response.headers()) {
        return response.map(body::ResponseBody::inner).map(ResponseBody::plain);
    }
    // Layers further out will not see the usage: it is read here.
    let tap = Tap::claim(context, response.status(), response.headers());
    let mut response = WatchedBody::of_response(response, &Method::POST, Tapped(tap));
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|body| {
        let filter = Filter::new(body.is_end_stream());
        ResponseBody { kind: Shown::WithoutUsage { body, filter } }
    })
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let essence = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    let stream = essence
        .is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"));
    stream
        && headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// What reads the usage, unless a layer further in does.
#[derive(Debug)]
struct Tapped(Option<Tap>);

impl Watch for Tapped {
    fn data(&mut self, data: &Bytes) {
        if let Some(tap) = &mut self.0 {
            tap.data(data);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(tap) = &mut self.0 {
            tap.trailers(trailers);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(tap) = &mut self.0 {
            tap.end(end);
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (mut body, filter) = match self.project().kind.project() {
            ShownProj::All { body } => return body.poll_frame(cx),
            ShownProj::WithoutUsage { body, filter } => (body, filter),
        };
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
        match &self.kind {
            Shown::All { body } => body.is_end_stream(),
            Shown::WithoutUsage { filter, .. } => filter.over && filter.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Shown::All { body } => body.size_hint(),
            // How much is hidden is known when it was.
            Shown::WithoutUsage { filter, .. } if filter.over => SizeHint::with_exact(0),
            Shown::WithoutUsage { .. } => SizeHint::default(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    // Without the bytes: they are somebody's completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hides = matches!(self.kind, Shown::WithoutUsage { .. });
        f.debug_struct("ResponseBody").field("hides_usage", &hides).finish_non_exhaustive()
    }
}

/// Lets all events pass but the usage chunk.
struct Filter {
    framer: Framer,
    decoder: Decoder,
    // Come when all data was shown.
    trailers: Option<HeaderMap>,
    over: bool,
}

impl Filter {
    fn new(over: bool) -> Self {
        Self { framer: Framer::new(), decoder: Decoder::new(), trailers: None, over }
    }

    /// What to show of the events that `data` completes.
    fn push(&mut self, data: Bytes) -> Bytes {
        let whole = data.clone();
        let began = self.framer.pending() == 0;
        let (mut shown, mut hidden) = (0, false);
        let mut kept: Vec<Bytes> = Vec::new();
        for frame in self.framer.push(data) {
            let mut bytes = frame.bytes().clone();
            if is_usage_chunk(&mut self.decoder, &frame) {
                hidden = true;
                // A line feed that comes late belongs to the carriage return before it.
                bytes.truncate(
                    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count(),
                );
            }
            shown += bytes.len();
            kept.push(bytes);
        }
        if began && !hidden && shown == whole.len() {
            return whole;
        }
        match <[Bytes; 1]>::try_from(kept) {
            Ok([one]) => one,
            Err(kept) => {
                let mut joined = BytesMut::with_capacity(shown);
                kept.iter().for_each(|frame| joined.extend_from_slice(frame));
                joined.freeze()
            }
        }
    }

    /// What to show of an event that no blank line closed. Clients that read line by line take it
    /// for one.
    fn finish(&mut self) -> Bytes {
        self.over = true;
        let rest = std::mem::take(&mut self.framer).finish();
        let closed = [&rest[..], b"\n\n"].concat();
        let usage = Framer::new()
            .push(closed.into())
            .next()
            .is_some_and(|frame| is_usage_chunk(&mut self.decoder, &frame));
        if usage { Bytes::new() } else { rest }
    }
}

fn join(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    let mut joined = BytesMut::from(&first[..]);
    joined.extend_from_slice(second);
    joined.freeze()
}

/// The chunk that OpenAI's streams end with when they are asked for usage: no choices, and the
/// usage (`stream_options.include_usage` in OpenAI's API reference).
fn is_usage_chunk(decoder: &mut Decoder, frame: &sse::Frame) -> bool {
    let Some(event) = decoder.decode(frame) else { return false };
    // Most chunks have none, and are not read.
    if memmem::find(event.data(), b"\"usage\"").is_none() {
        return false;
    }
    let Ok(chunk) = Document::parse(event.data().to_vec()) else { return false };
    let member = |name, kind| chunk.root().get(name).filter(|value| value.kind() == kind);
    member("choices", Kind::Array).is_some_and(|choices| choices.is_empty())
        && member("usage", Kind::Object).is_some()
}
