use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use tower_service::Service;

use super::{
    future::{ResponseFuture, WaitingRequest, admit},
    token::{Jwt, TokenVerifier, Verdict},
};
use crate::{body::ResponseBody, context::RequestContext, rejection::RejectionFormat};

/// Middleware that rejects requests without a valid bearer token.
///
/// [`AuthLayer`](super::AuthLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    // `None` when disabled.
    verifier: Option<Arc<TokenVerifier>>,
    format: RejectionFormat,
    extension: bool,
}

impl<S> Auth<S> {
    /// Wraps `inner` with a token cache of its own and the default format of rejections.
    pub fn new(inner: S, jwt: Jwt) -> Self {
        let verifier = Arc::new(TokenVerifier::new(jwt));
        Self::from_parts(inner, Some(verifier), RejectionFormat::default(), false)
    }

    pub(super) const fn from_parts(
        inner: S,
        verifier: Option<Arc<TokenVerifier>>,
        format: RejectionFormat,
        extension: bool,
    ) -> Self {
        Self { inner, verifier, format, extension }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(verifier) = &self.verifier else {
            return ResponseFuture::pass(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        // An identity that is already there was not verified by this layer.
        context.clear_identity();
        mark_sensitive(request.headers_mut());
        match verifier.verify(request.headers(), false) {
            Verdict::Allow(identity) => {
                admit(&mut request, &context, identity, self.extension);
                ResponseFuture::pass(self.inner.call(request))
            }
            Verdict::Reject(rejection) => {
                let responder = self.format.for_request(&request);
                ResponseFuture::reject(responder.pending(rejection, context))
            }
            Verdict::Wait(waiter) => {
                // The future takes the instance that is ready:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(WaitingRequest {
                    waiter,
                    verifier: Arc::clone(verifier),
                    responder: self.format.for_request(&request),
                    context,
                    inner,
                    request,
                    extension: self.extension,
                })
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Auth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .field("jwt", &self.verifier.as_ref().map(|verifier| verifier.jwt()))
            .field("rejections", &self.format)
            .finish()
    }
}

/// Marks the credentials so that `Debug` does not print them in inner services. The first header is
/// enough. A request with several is rejected.
fn mark_sensitive(headers: &mut HeaderMap) {
    if let Some(credentials) = headers.get_mut(AUTHORIZATION) {
        HeaderValue::set_sensitive(credentials, true);
    }
}
