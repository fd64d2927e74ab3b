use std::{
    any::Any,
    error::Error,
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::{bounded::BoundedBody, payload::Payload},
    future::ResponseFuture,
    read::{
        headers::BodyHeaders,
        reader::BodyReader,
        settings::{ReadMode, ReadSettings},
    },
};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
    rejection::RejectionFormat,
};

/// Middleware that reads the request's body and passes it on as a [`Payload`].
///
/// [`PayloadLayer`](super::PayloadLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct BufferPayload<S> {
    inner: S,
    settings: ReadSettings,
    format: RejectionFormat,
}

impl<S> BufferPayload<S> {
    pub(super) const fn from_parts(
        inner: S,
        settings: ReadSettings,
        format: RejectionFormat,
    ) -> Self {
        Self { inner, settings, format }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for BufferPayload<S>
where
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<B, S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.settings.mode == ReadMode::Off {
            return ResponseFuture::calling(self.inner.call(request.map(Payload::streamed)));
        }
        let (mut parts, body) = request.into_parts();
        let context = RequestContext::ensure(&mut parts.extensions);
        let headers = BodyHeaders::of(&parts.headers);
        let responder = self.format.for_content_type(Some(Layer::Payload), headers.content_type());
        let settings = self.settings.of_request(&context);
        let reject =
            |rejection| ResponseFuture::rejected(responder.pending(rejection, context.clone()));

        let head = match settings.check_head(&parts, &headers, &body) {
            Ok(head) => head,
            Err(rejection) => return reject(rejection),
        };
        let payload = if settings.mode == ReadMode::Streamed {
            let mut payload = Payload::streamed(body);
            payload.bind(settings.limits, &context);
            payload
        } else {
            let own = (&body as &dyn Any).downcast_ref().and_then(Payload::shared);
            let plain = head.coding.is_none();
            let buffered = match own {
                Some(own) if plain && !settings.parses_in_steps(own) => own.clone(),
                None if plain && body.is_end_stream() => {
                    settings.buffer(Bytes::new(), None, settings.permit(), &context)
                }
                _ => {
                    // https://docs.rs/tower-service/latest/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                    let clone = self.inner.clone();
                    let inner = mem::replace(&mut self.inner, clone);
                    let body = BoundedBody::new(body, settings.limits, Some(context.clone()));
                    let settings = settings.into_owned();
                    let reader = BodyReader::new(inner, settings, parts, context, responder, head);
                    return ResponseFuture::reading(body, reader);
                }
            };
            let checked = settings.check_body(&buffered, &head, &context);
            if let Err(rejection) = checked {
                return reject(rejection);
            }
            head.set_framing(&mut parts.headers, &buffered);
            Payload::of(buffered)
        };
        context.pass(Layer::Payload);
        ResponseFuture::calling(self.inner.call(Request::from_parts(parts, payload)))
    }
}
