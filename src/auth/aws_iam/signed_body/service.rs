use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf as _;
use http::Request;
use http_body::Body;
use http_body_util::BodyExt as _;
use tower_service::Service;

use super::{
    body::SignedBody,
    shared::{BoxError, BoxedBody, ReadBounds, SharedBody},
};
use crate::auth::aws_iam::sigv4::Form;

/// Middleware that lets `AuthLayer` hash the bodies of requests with an AWS signature.
///
/// [`SignedBodyLayer`](super::SignedBodyLayer) makes it.
#[derive(Clone, Debug)]
pub struct HoldSignedBody<S> {
    inner: S,
    bounds: ReadBounds,
}

impl<S> HoldSignedBody<S> {
    /// Wraps `inner` with the default bounds.
    pub fn new(inner: S) -> Self {
        Self::from_parts(inner, ReadBounds::default())
    }

    pub(super) const fn from_parts(inner: S, bounds: ReadBounds) -> Self {
        Self { inner, bounds }
    }

    inner_service_accessors!();
}

impl<S, B> Service<Request<B>> for HoldSignedBody<S>
where
    S: Service<Request<SignedBody<B>>>,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> S::Future {
        let is_signed = Form::of(request.uri(), request.headers()).is_some();
        let (mut parts, body) = request.into_parts();
        let body = if is_signed {
            let body = SharedBody::new(parts.uri.clone(), boxed(body), self.bounds.clone());
            let body = Arc::new(body);
            parts.extensions.insert(Arc::clone(&body));
            SignedBody::shared(body)
        } else {
            // A body of an outer request is not this one.
            parts.extensions.remove::<Arc<SharedBody>>();
            SignedBody::plain(body)
        };
        self.inner.call(Request::from_parts(parts, body))
    }
}

fn boxed<B>(body: B) -> BoxedBody
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    BoxedBody::new(body.map_frame(move |frame| frame.map_data(whole)).map_err(Into::into))
}
