//! Stacks of one type that can be named.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    slots::Stack,
    snapshot::{Snapshot, StackState, StateSlot},
};
use crate::payload::Payload;

type BoxError = Box<dyn Error + Send + Sync>;
type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;
type BoxFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

/// A stack around its client, as one type without parameters.
///
/// [`Stack::boxed`](super::Stack::boxed) makes it whatever layers the stack has. It fits a field of a
/// struct, and stacks with different layers can come from the arms of one `match`. It is a service of
/// requests with any body. Its error is [`Infallible`]. A clone is one reference count.
///
/// Boxing takes three allocations for each request: the request body, the future and the response
/// body. [`BoxedGateway`] saves the first of them.
///
/// The gateway is always ready. It asks the stack for readiness inside of its future.
#[derive(Clone, Debug)]
pub struct Gateway(BoxedGateway<Payload>);

/// A stack around its client, as one type for requests with a body `B`.
///
/// [`Stack::boxed_for`](super::Stack::boxed_for) makes it. See [`Gateway`], which takes any body.
pub struct BoxedGateway<B>(Arc<dyn Erased<B>>);

impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
where
    I: StateSlot + Clone + Send + Sync + 'static,
    P: StateSlot + Clone + Send + Sync + 'static,
    A: StateSlot + Clone + Send + Sync + 'static,
    T: StateSlot + Clone + Send + Sync + 'static,
    B: StateSlot + Clone + Send + Sync + 'static,
    C: StateSlot + Clone + Send + Sync + 'static,
    Q: StateSlot + Clone + Send + Sync + 'static,
    U: StateSlot + Clone + Send + Sync + 'static,
    H: StateSlot + Clone + Send + Sync + 'static,
    F: StateSlot + Clone + Send + Sync + 'static,
{
    /// Puts the layers around `client` and boxes the whole as one type that can be named.
    ///
    /// The errors of the client must have become responses, which [`UpstreamLayer`] does.
    ///
    /// [`UpstreamLayer`]: crate::upstream::UpstreamLayer
    #[must_use]
    pub fn boxed<Client>(&self, client: Client) -> Gateway
    where
        Self: Layer<Client, Service: GatewayService<Payload>>,
    {
        Gateway::from(self.boxed_for(client))
    }

    /// Does the same for requests with a body `B` alone, which saves an allocation for each request.
    #[must_use]
    pub fn boxed_for<Body, Client>(&self, client: Client) -> BoxedGateway<Body>
    where
        Self: Layer<Client, Service: GatewayService<Body>>,
        Body: Send + 'static,
    {
        BoxedGateway::new(self.layer(client), self.state())
    }
}

impl Gateway {
    /// Returns the state of the stack at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.0.call(request.map(Payload::streamed))
    }
}

impl<B: Send + 'static> BoxedGateway<B> {
    pub(super) fn new(service: impl GatewayService<B>, state: StackState) -> Self {
        Self(Arc::new(Whole { service, state }))
    }

    /// Returns the state of the stack at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

impl From<BoxedGateway<Payload>> for Gateway {
    fn from(gateway: BoxedGateway<Payload>) -> Self {
        Self(gateway)
    }
}

impl<B> Service<Request<B>> for BoxedGateway<B> {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        ResponseFuture(self.0.call(request))
    }
}

impl<B> Clone for BoxedGateway<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for BoxedGateway<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxedGateway").field("state", &self.0.snapshot()).finish()
    }
}

trait Erased<B>: Send + Sync {
    fn call(&self, request: Request<B>) -> BoxFuture;

    fn snapshot(&self) -> Snapshot;
}

/// A service of known type and what its layers share.
struct Whole<S> {
    service: S,
    state: StackState,
}

impl<B, S> Erased<B> for Whole<S>
where
    S: GatewayService<B>,
{
    fn call(&self, request: Request<B>) -> BoxFuture {
        self.service.clone().respond(request)
    }

    fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }
}

/// A service that a [`Gateway`] can be made of. Implemented for every service of HTTP requests whose
/// error is [`Infallible`] and whose parts may move between threads.
pub trait GatewayService<B>: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn respond(self, request: Request<B>) -> BoxFuture;
}

impl<S, B, R> GatewayService<B> for S
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: NoError,
    S::Future: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn respond(mut self, request: Request<B>) -> BoxFuture {
        Box::pin(async move {
            poll_fn(|cx| self.poll_ready(cx)).await.map_err(NoError::never)?;
            let response = self.call(request);
            // The clone would live as long as the call.
            drop(self);
            Ok(response.await.map_err(NoError::never)?.map(ResponseBody::new))
        })
    }
}

/// An error that cannot occur: [`Infallible`] alone.
#[diagnostic::on_unimplemented(
    message = "an `UpstreamLayer` is missing: nothing turns the error `{Self}` of the client into a response",
    label = "this stack returns errors",
    note = "add `.upstream(UpstreamLayer::new())` to the `Stack`",
    note = "a layer of your own must return `Ok` with a response in place of an error"
)]
pub trait NoError {
    #[doc(hidden)]
    fn never(self) -> Infallible;
}

impl NoError for Infallible {
    fn never(self) -> Infallible {
        self
    }
}

/// The future of a [`Gateway`].
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(BoxFuture);

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The response body of a [`Gateway`]. The default is an empty body.
#[derive(Default)]
pub struct ResponseBody(Option<BoxBody>);

impl ResponseBody {
    fn new<R>(body: R) -> Self
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        // A body at its end has nothing to give back.
        Self((!body.is_end_stream()).then(|| Box::pin(body.map_err(Into::into)) as BoxBody))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| body.as_mut().poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

impl fmt::Debug for ResponseBody {
    // Without the bytes, which may be a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
