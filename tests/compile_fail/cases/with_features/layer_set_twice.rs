//~ 14x error[E0277]: this layer is set twice in the `Stack`
//~ 2x error[E0277]: this slot for layers of your own is set twice in the `Stack`
//~ 2x give all layers in one tuple, the outermost first: `.before_cache((first, second))`
//~ error[E0277]: the `PayloadLayer` is set twice in the `Stack`
//~ its slot has a layer already: Optional<CacheLayer>
use tower_inference::{payload::PayloadLayer, stack::Stack, upstream::UpstreamLayer};

fn main() {
    let _ = Stack::new().stalled_reader(None).stalled_reader(None);
    let _ = Stack::new().request_id(None).request_id(None);
    let _ = Stack::new().access_log(None).access_log(None);
    let _ = Stack::new().peer_throttle(None).peer_throttle(None);
    let _ = Stack::new().auth(None).auth(None);
    let _ = Stack::new().throttle(None).throttle(None);
    let _ = Stack::new().schema(None).schema(None);
    let _ = Stack::new().transform(None).transform(None);
    let _ = Stack::new().model_rules(None).model_rules(None);
    let _ = Stack::new().cache(None).cache(None);
    let _ = Stack::new().token_budget(None).token_budget(None);
    let _ = Stack::new().hf_token(None).hf_token(None);
    let _ = Stack::new().route(None).route(None);
    let upstream = UpstreamLayer::new();
    let _ = Stack::new().upstream(upstream.clone()).upstream(upstream.clone());
    let _ = Stack::new().before_cache(upstream.clone()).before_cache(upstream.clone());
    let _ = Stack::new().around(upstream.clone()).around(upstream);
    let payload = PayloadLayer::new();
    let _ = Stack::new().payload(payload.clone()).payload(payload);
}
