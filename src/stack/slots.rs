//! The slots of a stack and their setters.

#![expect(clippy::type_complexity, reason = "a type for each slot is what makes the order safe")]

use tower_layer::Identity as Unset;

#[cfg(all(feature = "auth", feature = "model-rules"))]
use super::callers;
#[cfg(any(feature = "auth", feature = "model-rules"))]
use super::callers::CallerSlot;
#[cfg(any(feature = "hf", feature = "schema", feature = "transform"))]
use super::compared::compared;
use super::{
    compared::ComparedSlot,
    payload_slot::{OpenPayload, PayloadSlot},
    slot,
};
#[cfg(feature = "access-log")]
use crate::access_log::AccessLogLayer;
#[cfg(feature = "auth")]
use crate::auth::AuthLayer;
#[cfg(feature = "cache")]
use crate::cache::CacheLayer;
#[cfg(feature = "throttle")]
use crate::context::Layer;
#[cfg(feature = "fallback")]
use crate::fallback::FallbackLayer;
#[cfg(feature = "hf")]
use crate::hf::HfTokenLayer;
#[cfg(feature = "model-rules")]
use crate::model_rules::ModelRulesLayer;
use crate::payload::PayloadLayer;
#[cfg(feature = "request-id")]
use crate::request_id::RequestIdLayer;
use crate::route::RouteLayer;
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

/// A stack of layers in their places. See the [module docs](super).
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
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
    BeforeCache = Unset,
    Around = Unset,
    Route = Unset,
    Fallback = Unset,
> {
    pub(super) stalled_reader: StalledReader,
    pub(super) request_id: RequestId,
    pub(super) access_log: AccessLog,
    pub(super) peer_throttle: PeerThrottle,
    pub(super) auth: Auth,
    pub(super) throttle: Throttle,
    pub(super) payload: Payload,
    pub(super) schema: Schema,
    pub(super) transform: Transform,
    pub(super) model_rules: ModelRules,
    pub(super) guard: Guard,
    pub(super) cache: Cache,
    pub(super) token_budget: TokenBudget,
    pub(super) upstream: Upstream,
    pub(super) hf_token: HfToken,
    pub(super) before_cache: BeforeCache,
    pub(super) around: Around,
    pub(super) route: Route,
    pub(super) fallback: Fallback,
}

impl Stack {
    /// Creates a stack without layers.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The stack with one more layer. Its type changes.
macro_rules! fill {
    // A layer that may be absent.
    (optional $stack:ident.$slot:ident = $layer:ident) => {{
        let layer = slot::Optional($layer.into());
        fill!($stack.$slot = layer)
    }};
    // Also fills the slot of the payload unless it is filled.
    (optional $stack:ident.$slot:ident = $layer:ident, payload) => {{
        let layer = slot::Optional($layer.into());
        let is_read = layer.0.is_some();
        let stack = fill!($stack.$slot = layer);
        let payload = stack.payload.filled(is_read);
        fill!(stack.payload = payload)
    }};
    ($stack:ident.$slot:ident = $layer:ident) => {
        fill!($stack $slot $layer: stalled_reader request_id access_log peer_throttle auth throttle
            payload schema transform model_rules guard cache token_budget upstream hf_token
            before_cache around route fallback)
    };
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
    (peer_throttle peer_throttle $stack:ident $layer:ident) => {
        $layer
    };
    (auth auth $stack:ident $layer:ident) => {
        $layer
    };
    (throttle throttle $stack:ident $layer:ident) => {
        $layer
    };
    (payload payload $stack:ident $layer:ident) => {
        $layer
    };
    (schema schema $stack:ident $layer:ident) => {
        $layer
    };
    (transform transform $stack:ident $layer:ident) => {
        $layer
    };
    (model_rules model_rules $stack:ident $layer:ident) => {
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
    (before_cache before_cache $stack:ident $layer:ident) => {
        $layer
    };
    (around around $stack:ident $layer:ident) => {
        $layer
    };
    (route route $stack:ident $layer:ident) => {
        $layer
    };
    (fallback fallback $stack:ident $layer:ident) => {
        $layer
    };
    ($slot:ident $field:ident $stack:ident $layer:ident) => {
        $stack.$field
    };
}

/// The layers, outermost first. Each takes the layer or an `Option` of it.
impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
{
    /// Cuts off clients that stop reading.
    ///
    /// `None` still boxes the body of each response.
    #[cfg(feature = "stalled-reader")]
    #[cfg_attr(docsrs, doc(cfg(feature = "stalled-reader")))]
    pub fn stalled_reader(
        self,
        layer: impl Into<Option<StalledReaderLayer>>,
    ) -> Stack<
        slot::Optional<StalledReaderLayer>,
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
        K,
        O,
        N,
        F,
    >
    where
        I: slot::Vacant,
    {
        fill!(optional self.stalled_reader = layer)
    }

    /// Gives each request an id.
    #[cfg(feature = "request-id")]
    #[cfg_attr(docsrs, doc(cfg(feature = "request-id")))]
    pub fn request_id(
        self,
        layer: impl Into<Option<RequestIdLayer>>,
    ) -> Stack<I, slot::Optional<RequestIdLayer>, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        R: slot::Vacant,
    {
        fill!(optional self.request_id = layer)
    }

    /// Records each request at its true end. The records never hold the stack's token.
    #[cfg(feature = "access-log")]
    #[cfg_attr(docsrs, doc(cfg(feature = "access-log")))]
    pub fn access_log(
        self,
        layer: impl Into<Option<AccessLogLayer>>,
    ) -> Stack<I, R, slot::Optional<AccessLogLayer>, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        L: slot::Vacant,
        H: super::scrub::TokenSlot,
        F: super::scrub::TokenSlot,
    {
        let layer = layer.into().map(|layer| {
            let tokens = [self.hf_token.tokens(), self.fallback.tokens()];
            tokens.into_iter().flatten().fold(layer, AccessLogLayer::scrubber)
        });
        fill!(optional self.access_log = layer)
    }

    /// Limits by the address of the peer before authentication.
    #[cfg(feature = "throttle")]
    #[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
    pub fn peer_throttle(
        self,
        layer: impl Into<Option<ThrottleLayer>>,
    ) -> Stack<I, R, L, slot::Optional<ThrottleLayer>, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        P: slot::Vacant,
    {
        let layer = layer.into().map(|layer| layer.place(Layer::PeerThrottle));
        fill!(optional self.peer_throttle = layer)
    }

    /// Opens the routes of inference and names them. Requests of other routes are rejected.
    pub fn route(
        self,
        layer: impl Into<Option<RouteLayer>>,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, slot::Optional<RouteLayer>, F>
    where
        N: slot::Vacant,
        S: ComparedSlot,
        X: ComparedSlot,
        H: ComparedSlot,
    {
        let layer = slot::Optional(layer.into());
        if let Some(routes) = layer.routes() {
            self.schema.compare(routes);
            self.transform.compare(routes);
            self.hf_token.compare(routes);
        }
        fill!(self.route = layer)
    }

    /// Authenticates each request. With `None` every client may call.
    #[cfg(feature = "auth")]
    #[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
    pub fn auth(
        self,
        layer: impl Into<Option<AuthLayer>>,
    ) -> Stack<I, R, L, P, slot::Optional<AuthLayer>, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        A: slot::Vacant,
        M: CallerSlot,
    {
        let layer = slot::Optional(layer.into());
        #[cfg(feature = "model-rules")]
        callers::compare(&layer, &self.model_rules);
        fill!(self.auth = layer)
    }

    /// Limits authenticated callers before their body is read.
    #[cfg(feature = "throttle")]
    #[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
    pub fn throttle(
        self,
        layer: impl Into<Option<ThrottleLayer>>,
    ) -> Stack<I, R, L, P, A, slot::Optional<ThrottleLayer>, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        T: slot::Vacant,
    {
        fill!(optional self.throttle = layer)
    }

    /// Reads the body within bounds and passes it on as a [`Payload`](crate::payload::Payload).
    ///
    /// Defaults to [`PayloadLayer::new`] when another layer reads bodies. This layer changes the type of
    /// the body, so it cannot be absent at run time. [`PayloadLayer::streamed`] reads no body.
    pub fn payload(
        self,
        layer: PayloadLayer,
    ) -> Stack<I, R, L, P, A, T, PayloadLayer, S, X, M, G, C, Q, U, H, K, O, N, F>
    where
        B: OpenPayload,
    {
        fill!(self.payload = layer)
    }

    /// Validates requests against their schemas. It can validate responses too.
    #[cfg(feature = "schema")]
    #[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
    pub fn schema(
        self,
        layer: impl Into<Option<SchemaLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        slot::Optional<SchemaLayer>,
        X,
        M,
        G,
        C,
        Q,
        U,
        H,
        K,
        O,
        N,
        F,
    >
    where
        S: slot::Vacant,
        B: PayloadSlot,
        N: ComparedSlot,
    {
        let layer = compared(layer.into(), &self.route);
        fill!(optional self.schema = layer, payload)
    }

    /// Edits requests on the way to the upstream.
    #[cfg(feature = "transform")]
    #[cfg_attr(docsrs, doc(cfg(feature = "transform")))]
    pub fn transform(
        self,
        layer: impl Into<Option<TransformLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        S,
        slot::Optional<TransformLayer>,
        M,
        G,
        C,
        Q,
        U,
        H,
        K,
        O,
        N,
        F,
    >
    where
        X: slot::Vacant,
        B: PayloadSlot,
        N: ComparedSlot,
    {
        let layer = compared(layer.into(), &self.route);
        fill!(optional self.transform = layer, payload)
    }

    /// Allows a caller only certain models and providers.
    #[cfg(feature = "model-rules")]
    #[cfg_attr(docsrs, doc(cfg(feature = "model-rules")))]
    pub fn model_rules(
        self,
        layer: impl Into<Option<ModelRulesLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        S,
        X,
        slot::Optional<ModelRulesLayer>,
        G,
        C,
        Q,
        U,
        H,
        K,
        O,
        N,
        F,
    >
    where
        A: CallerSlot,
        M: slot::Vacant,
        B: PayloadSlot,
    {
        let layer = slot::Optional(layer.into());
        #[cfg(feature = "auth")]
        callers::compare(&self.auth, &layer);
        let layer = layer.0;
        fill!(optional self.model_rules = layer, payload)
    }

    /// Puts a layer of your own outside the cache. It sees the requests that all checks have allowed
    /// and all of their responses, including those from the cache.
    ///
    /// Its requests have a [`Payload`](crate::payload::Payload). See [how to write a
    /// layer](crate::own_layer). Several layers are a tuple with the outermost first. For a layer that
    /// may be absent use `tower::util::option_layer`.
    pub fn before_cache<Own>(
        self,
        layer: Own,
    ) -> Stack<I, R, L, P, A, T, B::Filled, S, X, M, G, C, Q, U, H, Own, O, N, F>
    where
        K: slot::VacantOwn,
        B: PayloadSlot,
    {
        let stack = fill!(self.before_cache = layer);
        let payload = stack.payload.filled(true);
        fill!(stack.payload = payload)
    }

    /// Serves repeated requests from a cache and shares upstream calls in flight.
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    pub fn cache(
        self,
        layer: impl Into<Option<CacheLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        S,
        X,
        M,
        G,
        slot::Optional<CacheLayer>,
        Q,
        U,
        H,
        K,
        O,
        N,
        F,
    >
    where
        C: slot::Vacant,
        B: PayloadSlot,
    {
        fill!(optional self.cache = layer, payload)
    }

    /// Limits the inference tokens of prompts and completions.
    #[cfg(feature = "throttle")]
    #[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
    pub fn token_budget(
        self,
        layer: impl Into<Option<TokenBudgetLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        S,
        X,
        M,
        G,
        C,
        slot::Optional<TokenBudgetLayer>,
        U,
        H,
        K,
        O,
        N,
        F,
    >
    where
        Q: slot::Vacant,
        B: PayloadSlot,
    {
        fill!(optional self.token_budget = layer, payload)
    }

    /// Tries the targets of a request in their order until one responds.
    ///
    /// With `None` each request has one attempt, at the origin of the token layer. The access log has no
    /// token of a target.
    #[cfg(feature = "fallback")]
    #[cfg_attr(docsrs, doc(cfg(feature = "fallback")))]
    pub fn fallback(
        self,
        layer: impl Into<Option<FallbackLayer>>,
    ) -> Stack<
        I,
        R,
        L,
        P,
        A,
        T,
        B::Filled,
        S,
        X,
        M,
        G,
        C,
        Q,
        U,
        H,
        K,
        O,
        N,
        slot::Optional<FallbackLayer>,
    >
    where
        F: slot::Vacant,
        B: PayloadSlot,
        L: super::scrub::AccessLogSlot,
    {
        let layer = layer.into();
        let tokens = || layer.as_ref().map(FallbackLayer::scrubber);
        let stack = Self { access_log: self.access_log.without(tokens), ..self };
        fill!(optional stack.fallback = layer, payload)
    }

    /// Sets deadlines for the upstream and turns errors of the client into responses.
    ///
    /// This layer changes the type of the error, so it cannot be absent at run time.
    #[cfg(feature = "upstream")]
    #[cfg_attr(docsrs, doc(cfg(feature = "upstream")))]
    pub fn upstream(
        self,
        layer: UpstreamLayer,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, UpstreamLayer, H, K, O, N, F>
    where
        U: slot::Vacant,
    {
        fill!(self.upstream = layer)
    }

    /// Fixes the origin that requests go to and attaches its token.
    ///
    /// With `None` a request keeps its own target and its own headers, credentials included.
    #[cfg(feature = "hf")]
    #[cfg_attr(docsrs, doc(cfg(feature = "hf")))]
    pub fn hf_token(
        self,
        layer: impl Into<Option<HfTokenLayer>>,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, slot::Optional<HfTokenLayer>, K, O, N, F>
    where
        H: slot::Vacant,
        L: super::scrub::AccessLogSlot,
        N: ComparedSlot,
    {
        let layer = compared(layer.into(), &self.route);
        let tokens = || layer.as_ref().map(HfTokenLayer::scrubber);
        let stack = Self { access_log: self.access_log.without(tokens), ..self };
        fill!(optional stack.hf_token = layer)
    }

    /// Puts a layer of your own outside of all others.
    ///
    /// Our layers do not see a response that it makes itself. A request that it gives up, as a timeout
    /// does, is `cancelled` in the access log. Several layers are a tuple with the outermost first.
    pub fn around<Own>(
        self,
        layer: Own,
    ) -> Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, Own, N, F>
    where
        O: slot::VacantOwn,
    {
        fill!(self.around = layer)
    }
}
