use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::settings::Settings;
use crate::payload::{IsBody, Payload};

/// Middleware that tries the targets of a request in their order until one responds.
///
/// [`FallbackLayer`](super::FallbackLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct Fallback<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> Fallback<S> {
    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Fallback<S>
where
    Payload: IsBody<B>,
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let request = request.map(Payload::payload_of);
        if let Some(first) = self.settings.as_deref().and_then(|settings| settings.targets.first())
        {
            let mut request = request;
            let context = crate::context::RequestContext::ensure(request.extensions_mut());
            Arc::clone(&first.stage).choose(&context);
            return self.inner.call(request);
        }
        self.inner.call(request)
    }
}
