//! Masks the token in response bodies.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{ACCEPT_ENCODING, IF_RANGE, RANGE},
};
use http_body::{Body, Frame, SizeHint};

use crate::{
    body::{is_coded, remove_digests, size_with},
    context::RequestContext,
    log_limit::{LogLimit, warn_if_due},
    rejection::{Refusal, Rejection},
    secret::{Masker, Scrubber},
};

/// The codings of messages within a body, of gRPC and of Connect, and the headers that ask for them.
const OF_MESSAGES: [(&str, &str); 2] = [
    ("grpc-accept-encoding", "grpc-encoding"),
    ("connect-accept-encoding", "connect-content-encoding"),
];

/// Asks for a body that can be searched: without a coding, and whole, because two ranges may each have
/// a part of the token.
pub(super) fn ask_for_searchable_body<B>(request: &mut Request<B>) {
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (accepted, _) in OF_MESSAGES {
        if let Some(value) = headers.get_mut(accepted) {
            *value = HeaderValue::from_static("identity");
        }
    }
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
}

/// Masks the token in the body of one response.
pub(super) struct BodyScrub {
    masker: Masker,
    // Follow the bytes that were kept back.
    trailers: Option<HeaderMap>,
    has_ended: bool,
    is_logged: bool,
    log: Arc<LogLimit>,
    // Names the upstream in the log.
    context: RequestContext,
}

impl BodyScrub {
    /// Returns the search for the body of `response`. Rejects a body in a content coding.
    pub(super) fn of<R: Body>(
        response: &mut Response<R>,
        scrubber: &Scrubber,
        log: &Arc<LogLimit>,
        context: &RequestContext,
    ) -> Result<Box<Self>, Rejection> {
        if (is_coded(response.headers()) || has_coded_messages(response.headers()))
            && !response.body().is_end_stream()
        {
            let upstream = context.upstream();
            warn_if_due!(
                log.is_due("coded body", upstream.unwrap_or_default()),
                upstream = upstream.map(display),
                "the upstream compressed its response although the request says \
                 `accept-encoding: identity`; HfTokenLayer::scrub_bodies cannot search it"
            );
            return Err(Rejection::new(Refusal::InvalidUpstreamResponse).with_detail(
                "the upstream's response has a content coding that was not asked for",
            ));
        }
        // A digest of the upstream would be wrong for a masked body.
        remove_digests(response.headers_mut());
        Ok(Box::new(Self {
            masker: scrubber.masker(),
            trailers: None,
            has_ended: false,
            is_logged: false,
            log: Arc::clone(log),
            context: context.clone(),
        }))
    }

    pub(super) fn poll_frame<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.has_ended {
                return Poll::Ready(None);
            }
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                None => {
                    self.has_ended = true;
                    let rest = self.finish();
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
                Some(Err(error)) => {
                    // The start of a token is not worth a byte of a body that broke off.
                    drop(self.finish());
                    self.has_ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    let rest = self.finish();
                    if rest.is_empty() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    self.trailers = frame.into_trailers().ok();
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
            };
            let was_empty = data.is_empty();
            let mut masked = self.masker.push(data);
            if body.is_end_stream() {
                masked = joined(masked, self.finish());
            }
            self.log();
            if was_empty || !masked.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(masked))));
            }
        }
    }

    pub(super) fn is_end_stream<B: Body>(&self, body: &B) -> bool {
        self.trailers.is_none()
            && self.masker.kept() == 0
            && (self.has_ended || body.is_end_stream())
    }

    /// The mask has the length of the token, so an announced length stays right.
    pub(super) fn size_hint<B: Body>(&self, body: &B) -> SizeHint {
        size_with(&body.size_hint(), self.masker.kept() as u64)
    }

    fn finish(&mut self) -> Bytes {
        let rest = self.masker.finish();
        self.log();
        rest
    }

    fn log(&mut self) {
        if self.masker.has_found() && !std::mem::replace(&mut self.is_logged, true) {
            let upstream = self.context.upstream();
            warn_if_due!(
                self.log.is_due("masked body", upstream.unwrap_or_default()),
                upstream = upstream.map(display),
                "masked the token in a response body of the upstream"
            );
        }
    }
}

/// Returns whether the messages of a body have a coding.
fn has_coded_messages(headers: &HeaderMap) -> bool {
    let mut codings = OF_MESSAGES.into_iter().flat_map(|(_, coding)| headers.get_all(coding));
    codings.any(|coding| coding != "identity")
}

fn joined(start: Bytes, rest: Bytes) -> Bytes {
    if rest.is_empty() {
        return start;
    }
    let mut joined = BytesMut::with_capacity(start.len() + rest.len());
    joined.extend_from_slice(&start);
    joined.extend_from_slice(&rest);
    joined.freeze()
}

impl fmt::Debug for BodyScrub {
    // Without the bytes that are kept back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyScrub").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}
