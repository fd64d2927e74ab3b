//! Composes any subset of the layers in one safe order.
//!
//! The order of layers matters for security: a cache outside auth would serve one tenant's responses
//! to another. [`Stack`] puts each layer in its place whatever the order of the calls. Each layer can
//! be set once. A layer that is not set costs nothing.
//!
//! | outermost first | why here |
//! |---|---|
//! | stalled reader | gives back what all others own when a client stops reading |
//! | request id | everything after it can be traced including rejections |
//! | access log | sees the final status and the true end of each request |
//! | throttle by address | floods and failed authentications |
//! | auth | nothing is read or parsed for unauthenticated clients |
//! | throttle | cheap rejections before expensive work |
//! | payload | the body is read once within bounds |
//! | schema | rejects what the upstream would reject before it costs |
//! | transform | the layers below see what goes upstream |
//! | model rules | judge the model and provider that are really called |
//! | *guard* | sees requests and all responses including cache hits |
//! | cache | below auth and rules because each hit must pass both |
//! | token budget | below the cache because a hit is free |
//! | upstream | deadlines. Errors of the client become responses |
//! | hf token | innermost because the secret exists only on the way out |
//!
//! A name in italics is a place for a layer of a later version. Adding it will change no type that a
//! user wrote down.
//!
#![cfg_attr(all(feature = "request-id", feature = "upstream", feature = "hf"), doc = "```")]
#![cfg_attr(
    not(all(feature = "request-id", feature = "upstream", feature = "hf")),
    doc = "```text"
)]
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     hf::{HfTokenLayer, TokenSource},
//!     payload::{Payload, PayloadLayer},
//!     request_id::RequestIdLayer,
//!     secret::Secret,
//!     stack::Stack,
//!     upstream::UpstreamLayer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Your own HTTP client. This one checks the request that it gets.
//! let client = service_fn(|request: Request<Payload>| async move {
//!     assert_eq!(request.uri(), "https://router.huggingface.co/v1/models");
//!     assert_eq!(request.headers()["authorization"], "Bearer hf_example");
//!     assert!(request.headers().contains_key("x-request-id"));
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("models"))))
//! });
//!
//! // Innermost first on purpose: the order of the calls does not matter.
//! let gateway = Stack::new()
//!     .hf_token(HfTokenLayer::new(
//!         "https://router.huggingface.co".parse()?,
//!         TokenSource::value(Secret::new("hf_example"))?,
//!     ))
//!     .upstream(UpstreamLayer::new())
//!     .payload(PayloadLayer::new())
//!     .request_id(RequestIdLayer::new())
//!     .layer(client);
//!
//! let request = Request::get("/v1/models").body(Full::new(Bytes::new()))?;
//! let response = gateway.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! assert!(response.headers().contains_key("x-request-id"));
//! # Ok(())
//! # }
//! ```
//!
//! A layer that reads bodies needs a [`PayloadLayer`]. The stack adds one with its defaults unless
//! you set your own.
//!
//! # Limits
//!
//! The set of layers is fixed at compile time. A stack does not check that a subset makes sense:
//! without auth every client may call.

#![expect(clippy::type_complexity, reason = "a type for each slot is what makes the order safe")]

mod scrub;

use tower_layer::{Identity as Unset, Layer};

pub use self::scrub::{AccessLogSlot, HfTokenSlot};

#[cfg(feature = "access-log")]
use crate::access_log::AccessLogLayer;
#[cfg(feature = "auth")]
use crate::auth::AuthLayer;
#[cfg(feature = "cache")]
use crate::cache::CacheLayer;
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;
#[cfg(feature = "model-rules")]
use crate::model_rules::ModelRulesLayer;
use crate::payload::{BufferPayload, PayloadLayer};
#[cfg(feature = "request-id")]
use crate::request_id::RequestIdLayer;
#[cfg(feature = "schema")]
use crate::schema::SchemaLayer;
#[cfg(feature = "stalled-reader")]
use crate::stalled_reader::StalledReaderLayer;
#[cfg(feature = "throttle")]
use crate::throttle::ThrottleLayer;
#[cfg(feature = "throttle")]
use crate::token_budget::TokenBudgetLayer;
#[cfg(feature = "transform")]
use crate::transform::TransformLayer;
#[cfg(feature = "upstream")]
use crate::upstream::UpstreamLayer;

/// A stack of layers in their places. See the [module docs](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Stack<
    StalledReader = Unset,
    RequestId = Unset,
    AccessLog = Unset,
    PeerThrottle = Unset,
    Auth = Unset,
    Throttle = Unset,
    Payload = Unset,
    Schema = Unset,
    Transform = Unset,
    ModelRules = Unset,
    Guard = Unset,
    Cache = Unset,
    TokenBudget = Unset,
    Upstream = Unset,
    HfToken = Unset,
> {
    stalled_reader: StalledReader,
    request_id: RequestId,
    access_log: AccessLog,
    peer_throttle: PeerThrottle,
    auth: Auth,
    throttle: Throttle,
    payload: Payload,
    schema: Schema,
    transform: Transform,
    model_rules: ModelRules,
    guard: Guard,
    cache: Cache,
    token_budget: TokenBudget,
    upstream: Upstream,
    hf_token: HfToken,
}

impl Stack {
    /// Creates a stack without layers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// The stack with one more layer. Its type changes.
macro_rules! fill {
    ($stack:ident.$slot:ident = $layer:ident) => {
        fill!($stack $slot $layer: stalled_reader request_id access_log peer_throttle auth throttle
            payload schema transform model_rules guard cache token_budget upstream hf_token)
    };
    // Also fills the slot of the payload unless it is filled.
    ($stack:ident.$slot:ident = $layer:ident, payload) => {{
        let stack = fill!($stack.$slot = $layer);
        let payload = stack.payload.filled();
        fill!(stack.payload = payload)
    }};
    ($stack:ident $slot:ident $layer:ident: $($field:ident)*) => {
        Stack { $($field: pick!($slot $field $stack $layer)),* }
    };
}

/// The new layer for the named slot and the existing layers for the others.
macro_rules! pick {
    (stalled_reader stalled_reader $stack:ident $layer:ident) => {
        $layer
    };
    (request_id request_id $stack:ident $layer:ident) => {
        $layer
    };
    (access_log access_log $stack:ident $layer:ident) => {
        $layer
    };
    (auth auth $stack:ident $layer:ident) => {
        $layer
    };
    (payload payload $stack:ident $layer:ident) => {
        $layer
    };
    (model_rules model_rules $stack:ident $layer:ident) => {
        $layer
    };
    (schema schema $stack:ident $layer:ident) => {
        $layer
    };
    (transform transform $stack:ident $layer:ident) => {
        $layer
    };
    (peer_throttle peer_throttle $stack:ident $layer:ident) => {
        $layer
    };
    (throttle throttle $stack:ident $layer:ident) => {
        $layer
    };
    (cache cache $stack:ident $layer:ident) => {
        $layer
    };
    (token_budget token_budget $stack:ident $layer:ident) => {
        $layer
    };
    (upstream upstream $stack:ident $layer:ident) => {
        $layer
    };
    (hf_token hf_token $stack:ident $layer:ident) => {
        $layer
    };
    ($slot:ident $field:ident $stack:ident $layer:ident) => {
        $stack.$field
    };
}

#[cfg(feature = "stalled-reader")]
impl<R, L, P, A, T, B, S, X, M, G, C, Q, U, H>
    Stack<Unset, R, L, P, A, T, B, S, X, M, G, C, Q, U, H>
{
    /// Cuts off clients that stop reading.
    pub fn stalled_reader(
        self,
        layer: StalledReaderLayer,
    ) -> Stack<StalledReaderLayer, R, L, P, A, T, B, S, X, M, G, C, Q, U, H> {
        fill!(self.stalled_reader = layer)
    }
}

#[cfg(feature = "request-id")]
impl<I, L, P, A, T, B, S, X, M, G, C, Q, U, H>
    Stack<I, Unset, L, P, A, T, B, S, X, M, G, C, Q, U, H>
{
    /// Gives each request an id.
    pub fn request_id(
        self,
        layer: RequestIdLayer,
    ) -> Stack<I, RequestIdLayer, L, P, A, T, B, S, X, M, G, C, Q, U, H> {
        fill!(self.request_id = layer)
    }
}

#[cfg(feature = "access-log")]
impl<I, R, P, A, T, B, S, X, M, G, C, Q, U, H: HfTokenSlot>
    Stack<I, R, Unset, P, A, T, B, S, X, M, G, C, Q, U, H>
{
    /// Records each request at its true end. The records never hold the stack's token.
    pub fn access_log(
        self,
        layer: AccessLogLayer,
    ) -> Stack<I, R, AccessLogLayer, P, A, T, B, S, X, M, G, C, Q, U, H> {
        let layer = self.hf_token.keep_out_of(layer);
        fill!(self.access_log = layer)
    }
}

#[cfg(feature = "auth")]
impl<I, R, L, P, T, B, S, X, M, G, C, Q, U, H>
    Stack<I, R, L, P, Unset, T, B, S, X, M, G, C, Q, U, H>
{
    /// Authenticates each request.
    pub fn auth(
        self,
        layer: AuthLayer,
    ) -> Stack<I, R, L, P, AuthLayer, T, B, S, X, M, G, C, Q, U, H> {
        fill!(self.auth = layer)
    }
}

impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H>
{
    /// Reads the body within bounds and passes it on as a [`Payload`](crate::payload::Payload).
    /// Defaults to [`PayloadLayer::new`] when another layer reads bodies.
    pub fn payload(
        self,
        layer: PayloadLayer,
    ) -> Stack<I, R, L, P, A, T, PayloadLayer, S, X, M, G, C, Q, U, H>
    where
        B: OpenPayload,
    {
        fill!(self.payload = layer)
    }
}

#[cfg(feature = "schema")]
impl<I, R, L, P, A, T, B: PayloadSlot, X, M, G, C, Q, U, H>
    Stack<I, R, L, P, A, T, B, Unset, X, M, G, C, Q, U, H>
{
    /// Validates requests against their schemas. It can validate responses too.
    pub fn schema(
        self,
        layer: SchemaLayer,
    ) -> Stack<I, R, L, P, A, T, B::Filled, SchemaLayer, X, M, G, C, Q, U, H> {
        fill!(self.schema = layer, payload)
    }
}

#[cfg(feature = "throttle")]
impl<I, R, L, A, T, B, S, X, M, G, C, Q, U, H>
    Stack<I, R, L, Unset, A, T, B, S, X, M, G, C, Q, U, H>
{
    /// Limits by the address of the peer before authentication.
    pub fn peer_throttle(
        self,
        layer: ThrottleLayer,
    ) -> Stack<I, R, L, ThrottleLayer, A, T, B, S, X, M, G, C, Q, U, H> {
        fill!(self.peer_throttle = layer)
    }
}

#[cfg(feature = "throttle")]
impl<I, R, L, P, A, B, S, X, M, G, C, Q, U, H>
    Stack<I, R, L, P, A, Unset, B, S, X, M, G, C, Q, U, H>
{
    /// Limits authenticated callers before their body is read.
    pub fn throttle(
        self,
        layer: ThrottleLayer,
    ) -> Stack<I, R, L, P, A, ThrottleLayer, B, S, X, M, G, C, Q, U, H> {
        fill!(self.throttle = layer)
    }
}

#[cfg(feature = "throttle")]
impl<I, R, L, P, A, T, B: PayloadSlot, S, X, M, G, C, U, H>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Unset, U, H>
{
    /// Limits the inference tokens of prompts and completions.
    pub fn token_budget(
        self,
        layer: TokenBudgetLayer,
    ) -> Stack<I, R, L, P, A, T, B::Filled, S, X, M, G, C, TokenBudgetLayer, U, H> {
        fill!(self.token_budget = layer, payload)
    }
}

#[cfg(feature = "transform")]
impl<I, R, L, P, A, T, B: PayloadSlot, S, M, G, C, Q, U, H>
    Stack<I, R, L, P, A, T, B, S, Unset, M, G, C, Q, U, H>
{
    /// Edits requests on the way to the upstream.
    pub fn transform(
        self,
        layer: TransformLayer,
    ) -> Stack<I, R, L, P, A, T, B::Filled, S, TransformLayer, M, G, C, Q, U, H> {
        fill!(self.transform = layer, payload)
    }
}

#[cfg(feature = "model-rules")]
impl<I, R, L, P, A, T, B: PayloadSlot, S, X, G, C, Q, U, H>
    Stack<I, R, L, P, A, T, B, S, X, Unset, G, C, Q, U, H>
{
    /// Allows a caller only certain models and providers.
    pub fn model_rules(
        self,
        layer: ModelRulesLayer,
    ) -> Stack<I, R, L, P, A, T, B::Filled, S, X, ModelRulesLayer, G, C, Q, U, H> {
        fill!(self.model_rules = layer, payload)
    }
}

#[cfg(feature = "cache")]
impl<I, R, L, P, A, T, B: PayloadSlot, S, X, M, G, Q, U, H>
    Stack<I, R, L, P, A, T, B, S, X, M, G, Unset, Q, U, H>
{
    /// Serves repeated requests from a cache and shares upstream calls in flight.
    pub fn cache(
        self,
        layer: CacheLayer,
    ) -> Stack<I, R, L, P, A, T, B::Filled, S, X, M, G, CacheLayer, Q, U, H> {
        fill!(self.cache = layer, payload)
    }
}

#[cfg(feature = "upstream")]
impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, H>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, Unset, H>
{
    /// Sets deadlines for the upstream and turns errors of the client into responses.
    pub fn upstream(
        self,
        layer: UpstreamLayer,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, UpstreamLayer, H> {
        fill!(self.upstream = layer)
    }
}

#[cfg(feature = "hf")]
impl<I, R, L: AccessLogSlot, P, A, T, B, S, X, M, G, C, Q, U>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, Unset>
{
    /// Fixes the origin that requests go to and attaches its token.
    pub fn hf_token(
        self,
        layer: HfTokenLayer,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, HfTokenLayer> {
        let stack = Self { access_log: self.access_log.without(&layer), ..self };
        fill!(stack.hf_token = layer)
    }
}

/// The slot of the payload as layers that read bodies find it.
pub trait PayloadSlot: sealed::Sealed {
    /// The slot afterwards.
    type Filled;

    #[doc(hidden)]
    fn filled(self) -> Self::Filled;
}

/// A slot of the payload that a [`PayloadLayer`] may still be put into.
pub trait OpenPayload: PayloadSlot {}

/// A [`PayloadLayer`] with its defaults. [`Stack::payload`] replaces it.
#[derive(Clone, Debug, Default)]
pub struct ImpliedPayload(PayloadLayer);

impl PayloadSlot for Unset {
    type Filled = ImpliedPayload;

    fn filled(self) -> ImpliedPayload {
        ImpliedPayload::default()
    }
}

impl PayloadSlot for ImpliedPayload {
    type Filled = Self;

    fn filled(self) -> Self {
        self
    }
}

impl PayloadSlot for PayloadLayer {
    type Filled = Self;

    fn filled(self) -> Self {
        self
    }
}

impl OpenPayload for Unset {}
impl OpenPayload for ImpliedPayload {}

impl<S> Layer<S> for ImpliedPayload {
    type Service = BufferPayload<S>;

    fn layer(&self, inner: S) -> BufferPayload<S> {
        self.0.layer(inner)
    }
}

mod sealed {
    use super::{ImpliedPayload, PayloadLayer, Unset};

    #[expect(unnameable_types, reason = "nobody else's type can stand in the slot")]
    pub trait Sealed {}

    impl Sealed for ImpliedPayload {}
    impl Sealed for PayloadLayer {}
    impl Sealed for Unset {}
}

impl<
    I,
    R,
    L,
    P,
    A,
    T,
    B,
    S,
    X,
    M,
    G,
    C,
    Q,
    U,
    H,
    Inner,
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
    S9,
    S10,
    S11,
    S12,
    S13,
    S14,
> Layer<Inner> for Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H>
where
    H: Layer<Inner, Service = S1>,
    U: Layer<S1, Service = S2>,
    Q: Layer<S2, Service = S3>,
    C: Layer<S3, Service = S4>,
    G: Layer<S4, Service = S5>,
    M: Layer<S5, Service = S6>,
    X: Layer<S6, Service = S7>,
    S: Layer<S7, Service = S8>,
    B: Layer<S8, Service = S9>,
    T: Layer<S9, Service = S10>,
    A: Layer<S10, Service = S11>,
    P: Layer<S11, Service = S12>,
    L: Layer<S12, Service = S13>,
    R: Layer<S13, Service = S14>,
    I: Layer<S14>,
{
    type Service = I::Service;

    fn layer(&self, inner: Inner) -> I::Service {
        let service = self.hf_token.layer(inner);
        let service = self.upstream.layer(service);
        let service = self.token_budget.layer(service);
        let service = self.cache.layer(service);
        let service = self.guard.layer(service);
        let service = self.model_rules.layer(service);
        let service = self.transform.layer(service);
        let service = self.schema.layer(service);
        let service = self.payload.layer(service);
        let service = self.throttle.layer(service);
        let service = self.auth.layer(service);
        let service = self.peer_throttle.layer(service);
        let service = self.access_log.layer(service);
        let service = self.request_id.layer(service);
        self.stalled_reader.layer(service)
    }
}
