use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use tower_service::Service;

use super::{
    future::ResponseFuture,
    list_filter::ListFilter,
    rule::ModelRules,
    settings::{Decision, Settings},
};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
    model::Profile,
    payload::{IsBody, Payload},
};

/// Middleware that rejects requests for models that the caller may not use.
///
/// [`ModelRulesLayer`](super::ModelRulesLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct EnforceModelRules<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> EnforceModelRules<S> {
    /// Wraps `inner` with the defaults of [`ModelRulesLayer::new`](super::ModelRulesLayer::new).
    pub fn new(inner: S, profile: Profile, rules: ModelRules) -> Self {
        Self::from_parts(inner, Some(Arc::new(Settings::new(profile, rules))))
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for EnforceModelRules<S>
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
        let Some(settings) = &self.settings else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = settings.format.for_layer(Layer::ModelRules, &request);
        match settings.decide(&request, &context) {
            Ok(Decision::Pass) => {
                context.pass(Layer::ModelRules);
                ResponseFuture::pass(self.inner.call(request), responder, context)
            }
            Ok(Decision::FilterList) => {
                context.pass(Layer::ModelRules);
                let filter = ListFilter::new(Arc::clone(settings), &request, &context);
                request_whole_list(&mut request, &context);
                ResponseFuture::filter(self.inner.call(request), filter, responder, context)
            }
            Err(rejection) => ResponseFuture::reject(rejection, responder, context),
        }
    }
}

/// Makes the response the whole list without a content coding.
fn request_whole_list(request: &mut Request<Payload>, context: &RequestContext) {
    context.announce_response_is_read();
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
    ] {
        headers.remove(name);
    }
}
