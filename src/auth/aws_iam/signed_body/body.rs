use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::shared::{BodyState, BoxError, BoxedBody, SharedBody};
use crate::{
    digest_mismatch::DigestMismatch,
    sha256::{Digest, Hasher},
};

pin_project! {
    /// The request body that `SignedBodyLayer` passes on.
    ///
    /// The body of a request without an AWS signature is passed on as it is. The body of a verified
    /// request with `x-amz-content-sha256` ends as an error unless it has this digest. The last chunk is
    /// held until then. Trailers of such a body are dropped, because they are not signed.
    pub struct SignedBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Plain { #[pin] body: B },
        // The verifier may still read it.
        Shared { body: Arc<SharedBody> },
        Unverified { body: BoxedBody },
        Promised { body: PromisedBody },
        Buffered { data: Bytes },
        Ended,
    }
}

/// A body that is hashed while it is read.
struct PromisedBody {
    body: BoxedBody,
    expected: Digest,
    hasher: Hasher,
    // The last chunk so far.
    held: Bytes,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> SignedBody<B> {
    pub(super) const fn plain(body: B) -> Self {
        Self { kind: Kind::Plain { body } }
    }

    pub(super) const fn shared(body: Arc<SharedBody>) -> Self {
        Self { kind: Kind::Shared { body } }
    }
}

impl PromisedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        loop {
            let data = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.end()),
            };
            // An empty chunk must not push out the last one.
            if !data.is_empty() {
                self.hasher.update(&data);
                let before = std::mem::replace(&mut self.held, data);
                if !before.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(before))));
                }
            }
        }
    }

    /// Returns the last chunk if the digest is the expected one.
    fn end(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        let digest = std::mem::take(&mut self.hasher).finish();
        let held = std::mem::take(&mut self.held);
        if !digest.is(&self.expected) {
            tracing::debug!("the request body does not match `x-amz-content-sha256`");
            return Some(Err(DigestMismatch.into()));
        }
        (!held.is_empty()).then(|| Ok(Frame::data(held)))
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.body.size_hint(), self.held.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

impl<B> Body for SignedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let mut this = self.project();
        if let KindProj::Shared { body } = this.kind.as_mut().project() {
            let kind = match body.take() {
                BodyState::Unread(body) => Kind::Unverified { body },
                BodyState::Promised(body, expected) => Kind::Promised {
                    body: PromisedBody {
                        body,
                        expected,
                        hasher: Hasher::default(),
                        held: Bytes::new(),
                    },
                },
                BodyState::Buffered(data, _) => Kind::Buffered { data },
                BodyState::Taken => {
                    this.kind.set(Kind::Ended);
                    return Poll::Ready(Some(Err(
                        "the request body was taken by another reader".into()
                    )));
                }
            };
            this.kind.set(kind);
        }
        match this.kind.as_mut().project() {
            KindProj::Plain { body } => body.poll_frame(cx).map(|frame| {
                let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                frame.map(|frame| frame.map(|frame| frame.map_data(whole)).map_err(Into::into))
            }),
            KindProj::Unverified { body } => Pin::new(body).poll_frame(cx),
            KindProj::Promised { body } => {
                let polled = body.poll_frame(cx);
                // The last chunk, the error and the end come after the end of the inner body.
                let ended = match &polled {
                    Poll::Ready(Some(Ok(_))) => body.held.is_empty(),
                    Poll::Ready(_) => true,
                    Poll::Pending => false,
                };
                if ended {
                    this.kind.set(Kind::Ended);
                }
                polled
            }
            KindProj::Buffered { data } => {
                let data = std::mem::take(data);
                this.kind.set(Kind::Ended);
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
            KindProj::Shared { .. } | KindProj::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Shared { body } => body.is_end_stream(),
            Kind::Unverified { body } => body.is_end_stream(),
            Kind::Promised { .. } => false,
            Kind::Buffered { data } => data.is_empty(),
            Kind::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Shared { body } => body.size_hint(),
            Kind::Unverified { body } => body.size_hint(),
            Kind::Promised { body } => body.size_hint(),
            Kind::Buffered { data } => SizeHint::with_exact(data.len() as u64),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for SignedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Plain { .. } => "plain",
            Kind::Shared { .. } => "shared",
            Kind::Unverified { .. } => "unverified",
            Kind::Promised { .. } => "promised",
            Kind::Buffered { .. } => "buffered",
            Kind::Ended => "ended",
        };
        f.debug_tuple("SignedBody").field(&kind).finish()
    }
}
