use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{body::ResponseBody, future::ResponseFuture, settings::Settings};
use crate::{
    context::{Layer, RequestContext},
    payload::{IsBody, Payload},
};

/// Middleware that edits requests on the way to the upstream.
///
/// [`TransformLayer`](super::TransformLayer) makes it, because its edits are set there. See the
/// [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct Transform<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Settings>,
}

impl<S> Transform<S> {
    pub(super) const fn from_parts(inner: S, settings: Option<Settings>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Transform<S>
where
    Payload: IsBody<B>,
    S: Service<Request<Payload>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(Payload::payload_of);
        let Some(settings) = self.settings.as_ref().filter(|settings| settings.has_edits()) else {
            return ResponseFuture::pass(&mut self.inner, request, &mut None);
        };
        let responder = settings.format.for_layer(Layer::Transform, &request);
        let (mut parts, mut payload) = request.into_parts();
        let context = RequestContext::ensure(&mut parts.extensions);
        match settings.apply(&mut parts, &mut payload, &context) {
            Ok(hide_usage) => {
                context.pass(Layer::Transform);
                let mut hide_usage = hide_usage.then(|| {
                    context.announce_response_is_read();
                    let identity = HeaderValue::from_static("identity");
                    parts.headers.insert(ACCEPT_ENCODING, identity);
                    context
                });
                let request = Request::from_parts(parts, payload);
                ResponseFuture::pass(&mut self.inner, request, &mut hide_usage)
            }
            Err(rejection) => ResponseFuture::reject(responder.pending(rejection, context)),
        }
    }
}
