//! Rejections and forwarding of the payload layer.

mod contract;
mod forwarding;
mod modes;
mod rejections;
mod twice;

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Builder};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    payload::{Payload, PayloadError, PayloadLayer},
    rejection::{Refusal, Rejection},
};

use crate::support::{Probe, ScriptedBody, Step};

pub(crate) type Answer = Response<ResponseBody<Empty<Bytes>>>;

/// Sends `request` through `layer`; gives what the inner service got, or the refusal.
pub(crate) async fn send<B>(
    layer: PayloadLayer,
    request: Request<B>,
) -> Result<Request<Payload>, Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let seen = Rc::new(Cell::new(None));
    let inner = Probe::new({
        let seen = seen.clone();
        move |request: Request<Payload>| {
            seen.set(Some(request));
            Response::new(Empty::<Bytes>::new())
        }
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    seen.take().ok_or(response)
}

pub(crate) async fn refusal<B>(layer: PayloadLayer, request: Request<B>) -> (Refusal, Answer)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let response = send(layer, request).await.expect_err("it was let through");
    let refusal = response.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!(response.status(), refusal.status());
    (refusal, response)
}

pub(crate) fn post() -> Builder {
    Request::post("/v1/chat/completions").header("content-type", "application/json")
}

pub(crate) fn full(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// A body that says whether it was polled.
struct Untouched(Arc<AtomicUsize>);

impl Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Relaxed);
        Poll::Ready(None)
    }
}
