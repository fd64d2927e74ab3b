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
use crate::{body::ResponseBody, context::RequestContext, model::Profile, payload::Payload};

/// Middleware that rejects requests for models that the caller may not use.
///
/// [`ModelRulesLayer`](super::ModelRulesLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct EnforceModelRules<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> EnforceModelRules<S> {
    /// Wraps `inner` with the defaults of [`ModelRulesLayer::new`](super::ModelRulesLayer::new).
    pub fn new(inner: S, profile: Profile, rules: ModelRules) -> Self {
        Self::from_parts(inner, Arc::new(Settings::new(profile, rules)))
    }

    pub(super) const fn from_parts(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, R> Service<Request<Payload>> for EnforceModelRules<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.settings.format.for_request(&request);
        match self.settings.decide(&request, &context) {
            Ok(Decision::Pass) => {
                ResponseFuture::pass(self.inner.call(request), responder, context)
            }
            Ok(Decision::FilterList) => {
                let filter = ListFilter::new(Arc::clone(&self.settings), &request, &context);
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
