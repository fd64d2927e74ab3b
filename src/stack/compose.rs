//! The order of the layers.

use tower_layer::Layer;

use super::{slots::Stack, upstream_slot::UpstreamSlot};

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
    K,
    O,
    N,
    F,
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
    S15,
    S16,
    S17,
    S18,
> Layer<Inner> for Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
where
    H: Layer<Inner, Service = S1>,
    U: UpstreamSlot + Layer<S1, Service = S2>,
    F: Layer<S2, Service = S3>,
    Q: Layer<S3, Service = S4>,
    C: Layer<S4, Service = S5>,
    K: Layer<S5, Service = S6>,
    G: Layer<S6, Service = S7>,
    M: Layer<S7, Service = S8>,
    X: Layer<S8, Service = S9>,
    S: Layer<S9, Service = S10>,
    B: Layer<S10, Service = S11>,
    T: Layer<S11, Service = S12>,
    A: Layer<S12, Service = S13>,
    N: Layer<S13, Service = S14>,
    P: Layer<S14, Service = S15>,
    L: Layer<S15, Service = S16>,
    R: Layer<S16, Service = S17>,
    I: Layer<S17, Service = S18>,
    O: Layer<S18>,
{
    type Service = U::Whole<O::Service>;

    fn layer(&self, inner: Inner) -> Self::Service {
        let service = self.hf_token.layer(inner);
        let service = self.upstream.layer(service);
        let service = self.fallback.layer(service);
        let service = self.token_budget.layer(service);
        let service = self.cache.layer(service);
        let service = self.before_cache.layer(service);
        let service = self.guard.layer(service);
        let service = self.model_rules.layer(service);
        let service = self.transform.layer(service);
        let service = self.schema.layer(service);
        let service = self.payload.layer(service);
        let service = self.throttle.layer(service);
        let service = self.auth.layer(service);
        let service = self.route.layer(service);
        let service = self.peer_throttle.layer(service);
        let service = self.access_log.layer(service);
        let service = self.request_id.layer(service);
        let service = self.stalled_reader.layer(service);
        U::whole(self.around.layer(service))
    }
}
