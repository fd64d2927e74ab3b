use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    authentication::{Authentication, Decision},
    credential::Credential,
    future::{Admission, ResponseFuture, WaitingRequest},
};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
    lock::Lock,
    rejection::RejectionFormat,
};

/// Middleware that rejects requests without a valid credential.
///
/// [`AuthLayer`](super::AuthLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    // `None` when disabled.
    authentication: Option<Arc<Authentication>>,
    format: RejectionFormat,
    extension: bool,
}

impl<S> Auth<S> {
    /// Wraps `inner` with one kind of credential, a cache of its own and the default format of
    /// rejections.
    pub fn new(inner: S, credential: impl Into<Credential>) -> Self {
        let mut authentication = Authentication::default();
        authentication.add(credential.into());
        Self::from_parts(inner, Some(Arc::new(authentication)), RejectionFormat::default(), false)
    }

    pub(super) const fn from_parts(
        inner: S,
        authentication: Option<Arc<Authentication>>,
        format: RejectionFormat,
        extension: bool,
    ) -> Self {
        Self { inner, authentication, format, extension }
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

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(authentication) = &self.authentication else {
            return ResponseFuture::pass(&mut self.inner, request);
        };
        let context = RequestContext::ensure(request.extensions_mut());
        // An identity that is already there was not verified by this layer.
        context.clear_identity();
        authentication.conceal(request.headers_mut());
        let decision = authentication.authenticate(&authentication.head(&request, &context), false);
        let admission = Admission { context, extension: self.extension };
        match decision {
            Decision::Allow(identity) => {
                admission.admit(authentication, &mut request, identity);
                ResponseFuture::pass(&mut self.inner, request)
            }
            Decision::Reject(rejection) => {
                let responder = self.format.for_layer(Layer::Auth, &request);
                ResponseFuture::reject(responder.pending(rejection, admission.context))
            }
            Decision::Wait(waiting) => {
                // The future takes the instance that is ready:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(WaitingRequest {
                    waiting: Lock::new(waiting),
                    authentication: Arc::clone(authentication),
                    responder: self.format.for_layer(Layer::Auth, &request),
                    admission,
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
            .field("credentials", &self.authentication)
            .field("rejections", &self.format)
            .finish()
    }
}
