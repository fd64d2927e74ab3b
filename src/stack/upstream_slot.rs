//! The name that a stack without an upstream layer has in messages of the compiler.

use std::task::{Context, Poll};

use tower_layer::Identity as Unset;
use tower_service::Service;

use super::slot::sealed::Sealed;

/// The slot of the upstream layer, which decides the type of the whole service.
pub trait UpstreamSlot: Sealed {
    /// The type of a stack whose outermost service is `S`.
    type Whole<S>;

    #[doc(hidden)]
    fn whole<S>(service: S) -> Self::Whole<S>;
}

/// A stack without an `UpstreamLayer`, whose errors are those of its client.
///
/// It only forwards. The compiler names it where a server expects a service without errors.
#[derive(Clone, Copy, Debug)]
pub struct WithoutUpstreamLayer<S> {
    inner: S,
}

impl<S> WithoutUpstreamLayer<S> {
    inner_service_accessors!();
}

impl UpstreamSlot for Unset {
    type Whole<S> = WithoutUpstreamLayer<S>;

    fn whole<S>(service: S) -> WithoutUpstreamLayer<S> {
        WithoutUpstreamLayer { inner: service }
    }
}

#[cfg(feature = "upstream")]
impl UpstreamSlot for crate::upstream::UpstreamLayer {
    type Whole<S> = S;

    fn whole<S>(service: S) -> S {
        service
    }
}

impl<S, R> Service<R> for WithoutUpstreamLayer<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}
