use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{IF_RANGE, RANGE},
};
use http_body::Body;
use tower_service::Service;

use super::{
    future::ResponseFuture,
    request::rules::RequestRules,
    response::{body::ResponseBody, expectation::Expectation},
};
use crate::{
    context::{Layer, RequestContext},
    payload::{IsBody, Payload},
    rejection::RejectionFormat,
};

/// Middleware that validates requests and responses.
///
/// [`SchemaLayer`](super::SchemaLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct ValidateSchema<S> {
    inner: S,
    // `None` when disabled.
    rules: Option<Arc<RequestRules>>,
    format: RejectionFormat,
}

impl<S> ValidateSchema<S> {
    pub(super) const fn from_parts(
        inner: S,
        rules: Option<Arc<RequestRules>>,
        format: RejectionFormat,
    ) -> Self {
        Self { inner, rules, format }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for ValidateSchema<S>
where
    Payload: IsBody<B>,
    S: Service<Request<Payload>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Payload::payload_of);
        let Some(rules) = &self.rules else {
            return ResponseFuture::calling(self.inner.call(request), None);
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let rules = rules.of_route(context.route());
        if let Err(rejection) = rules.check(&request, &context) {
            let responder = self.format.for_layer(Layer::Schema, &request);
            return ResponseFuture::rejected(responder.pending(rejection, context));
        }
        context.pass(Layer::Schema);
        // A response to HEAD has the headers of a body but no body.
        let schema = rules.response.as_ref().filter(|_| *request.method() != Method::HEAD);
        let expectation = schema.map(|schema| {
            context.announce_response_is_read();
            if schema.must_be_whole() {
                // A partial response cannot be checked. A server may ignore a range (RFC 9110
                // section 14.2).
                request.headers_mut().remove(RANGE);
                request.headers_mut().remove(IF_RANGE);
            }
            let (method, responder) =
                (request.method().clone(), self.format.for_layer(Layer::Schema, &request));
            Box::new(Expectation::new(schema.clone(), method, responder, context))
        });
        ResponseFuture::calling(self.inner.call(request), expectation)
    }
}
