use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::bill::Bill;
use crate::{
    body::{self, WatchedBody},
    generation::{HideUsage, is_event_stream},
};

pin_project! {
    /// The body of an answer, which settles its budget at its end; or a refusal.
    pub struct BudgetBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Plain { #[pin] body: body::ResponseBody<B> },
        All { #[pin] body: WatchedBody<B, Bill> },
        WithoutUsage { #[pin] body: HideUsage<WatchedBody<B, Bill>> },
    }
}

impl<B> BudgetBody<B> {
    pub(super) const fn plain(body: body::ResponseBody<B>) -> Self {
        Self { kind: Kind::Plain { body } }
    }
}

impl<B: Body<Data = Bytes>> BudgetBody<B> {
    /// The answer to a `method` request, billed; without its usage chunk if that is to be hidden.
    pub(super) fn billed(
        response: Response<B>,
        method: &Method,
        bill: Bill,
        hide_usage: bool,
    ) -> Response<Self> {
        let hide =
            hide_usage && response.status().is_success() && is_event_stream(response.headers());
        let response = WatchedBody::of_response(response, method, bill);
        if hide {
            HideUsage::of_response(response).map(|body| Self { kind: Kind::WithoutUsage { body } })
        } else {
            response.map(|body| Self { kind: Kind::All { body } })
        }
    }
}

impl<B: Body<Data = Bytes>> Body for BudgetBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx),
            KindProj::All { body } => body.poll_frame(cx),
            KindProj::WithoutUsage { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::All { body } => body.is_end_stream(),
            Kind::WithoutUsage { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::All { body } => body.size_hint(),
            Kind::WithoutUsage { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for BudgetBody<B> {
    // Without the bytes: they are somebody's completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Plain { .. } => "plain",
            Kind::All { .. } => "billed",
            Kind::WithoutUsage { .. } => "billed, usage hidden",
        };
        f.debug_tuple("BudgetBody").field(&kind).finish()
    }
}
