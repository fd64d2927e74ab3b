use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    future::{ResponseFuture, WaitingRequest},
    jwt::Jwt,
    verifier::{Verdict, TokenVerifier},
};
use crate::{body::ResponseBody, context::RequestContext, rejection::RefusalFormat};

/// Lets requests with a valid token pass, and says whose they are.
///
/// See the [module documentation](super).
#[derive(Clone)]
pub struct AuthLayer {
    verifier: Arc<TokenVerifier>,
    refusals: RefusalFormat,
}

impl AuthLayer {
    /// Verifies tokens as `jwt` says. Clones of the layer, and the services it makes, share what they
    /// remember.
    #[must_use]
    pub fn new(jwt: Jwt) -> Self {
        Self { verifier: Arc::new(TokenVerifier::new(jwt)), refusals: RefusalFormat::default() }
    }

    /// How refusals look. Default [`RefusalFormat::Problem`].
    #[must_use]
    pub const fn refusals(mut self, format: RefusalFormat) -> Self {
        self.refusals = format;
        self
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { inner, verifier: Arc::clone(&self.verifier), refusals: self.refusals }
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("jwt", self.verifier.jwt())
            .field("refusals", &self.refusals)
            .finish()
    }
}

/// Lets requests with a valid token pass. Made by [`AuthLayer`].
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    verifier: Arc<TokenVerifier>,
    refusals: RefusalFormat,
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
        let context = RequestContext::ensure(request.extensions_mut());
        // Whoever set one before, it was not proved here.
        context.clear_identity();
        mark_sensitive(request.headers_mut());
        match self.verifier.verify(request.headers(), false) {
            Verdict::Allow(identity) => {
                context.set_identity(identity);
                ResponseFuture::pass(self.inner.call(request))
            }
            Verdict::Reject(rejection) => {
                let responder = self.refusals.for_request(&request);
                ResponseFuture::reject(rejection, responder, context)
            }
            Verdict::Wait(waiter) => {
                // The readied instance is the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(WaitingRequest {
                    waiter,
                    verifier: Arc::clone(&self.verifier),
                    responder: self.refusals.for_request(&request),
                    context,
                    inner,
                    request,
                })
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Auth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .field("jwt", self.verifier.jwt())
            .field("refusals", &self.refusals)
            .finish()
    }
}

/// Marks the credentials, so that no `Debug` further in prints them. Of several fields the first is
/// enough: such a request goes nowhere.
fn mark_sensitive(headers: &mut HeaderMap) {
    if let Some(credentials) = headers.get_mut(AUTHORIZATION) {
        HeaderValue::set_sensitive(credentials, true);
    }
}
