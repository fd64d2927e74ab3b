//! The headers of AWS: `x-amzn-requestid` and `x-amzn-trace-id`.

use tower_inference::context::AmznTraceId;

use super::*;

fn with(headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = request(&[]);
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    request
}

#[test]
fn the_id_of_api_gateway_is_kept_from_a_trusted_peer_only() {
    let id = "79104EXAMPLEB723";
    let made = || with(&[("x-amzn-requestid", id)]);
    assert!(is_ours(exchange(&RequestIdLayer::new(), made()).only()));
    let trusting = RequestIdLayer::new().dangerous_trust_all_peers();
    assert_eq!(exchange(&trusting, made()).only(), id);
    // Our own header comes first, unless it is not well-formed.
    let both = with(&[("x-amzn-requestid", id), ("x-request-id", "own")]);
    assert_eq!(exchange(&trusting, both).only(), "own");
    let both = with(&[("x-amzn-requestid", id), ("x-request-id", "a b")]);
    assert_eq!(exchange(&trusting, both).only(), id);
    let twice = with(&[("x-amzn-requestid", id), ("x-amzn-requestid", id)]);
    assert!(is_ours(exchange(&trusting, twice).only()));
}

#[test]
fn the_id_of_api_gateway_is_not_forwarded() {
    let mut seen = None;
    let inner = |request: Request<()>| {
        seen = Some(request.headers().contains_key("x-amzn-requestid"));
        Response::new(())
    };
    let request = with(&[("x-amzn-requestid", "forged")]);
    now(RequestIdLayer::new().layer(Once(inner)).call(request)).unwrap();
    assert_eq!(seen, Some(false));
}

#[test]
fn the_response_has_the_id_of_api_gateway_on_request() {
    let inner = || {
        Once(|_: Request<()>| {
            let mut response = Response::new(());
            let header = HeaderValue::from_static("of the upstream");
            response.headers_mut().insert("x-amzn-requestid", header);
            response
        })
    };
    let layer = RequestIdLayer::new();
    let response = now(layer.layer(inner()).call(request(&[]))).unwrap();
    assert_eq!(response.headers()["x-amzn-requestid"], "of the upstream");
    let layer = layer.amzn_request_id();
    let response = now(layer.layer(inner()).call(request(&[]))).unwrap();
    let id = &response.headers()["x-request-id"];
    assert!(is_ours(id.to_str().unwrap()));
    assert_eq!(&response.headers()["x-amzn-requestid"], id);
}

/// Returns what the context records of a header.
fn recorded(headers: &[(&'static str, &'static str)]) -> Option<AmznTraceId> {
    let mut request = with(headers);
    let context = RequestContext::ensure(request.extensions_mut());
    let inner = |request: Request<()>| {
        // It goes on as it came.
        let sent = request.headers().get_all("x-amzn-trace-id").iter().count();
        assert_eq!(sent, headers.len());
        Response::new(())
    };
    now(RequestIdLayer::new().layer(Once(inner)).call(request)).unwrap();
    assert!(context.trace_id().is_none(), "it is never a trace of ours");
    context.amzn_trace_id().cloned()
}

#[test]
fn the_trace_of_x_ray_is_recorded_and_not_trusted() {
    let root = "1-5759e988-bd862e3fe1be46a994272793";
    let of = |value| recorded(&[("x-amzn-trace-id", value)]).unwrap();
    let id = of("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1");
    assert_eq!((id.root(), id.parent()), (Some(root), Some("53995c3f42cd8ad8")));
    assert_eq!(id.sampled(), Some(true));
    let id = of("Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!((id.root(), id.parent(), id.sampled()), (Some(root), None, None));
    let id = of("Sampled=0;Root=1-5759e988-bd862e3fe1be46a99427279;Parent=5399");
    assert_eq!((id.root(), id.parent(), id.sampled()), (None, None, Some(false)));
    let id = of("Sampled=?".trim_end_matches('?'));
    assert_eq!(id.sampled(), None);
    // As huggingface_hub sends it.
    let id = of("e0ae2c48-9c63-4c71-a5a4-8f5bf9a1b5a3");
    assert_eq!(id.as_str(), "e0ae2c48-9c63-4c71-a5a4-8f5bf9a1b5a3");
    assert_eq!(id.root(), None);
    // Two values of a key are ambiguous.
    let id =
        of("Root=1-5759e988-bd862e3fe1be46a994272793;Root=1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!(id.root(), None);
}

#[test]
fn a_hostile_trace_of_x_ray_is_not_recorded() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "a".repeat(257));
    for hostile in ["", "a b", "a\tb", "Root=\"1\"", "a,b", "<script>", "%0a", &LONG] {
        assert_eq!(recorded(&[("x-amzn-trace-id", hostile)]), None, "{hostile:?}");
    }
    assert_eq!(recorded(&[("x-amzn-trace-id", "a"), ("x-amzn-trace-id", "a")]), None);
}

proptest! {
    #[test]
    fn reading_never_fails(value in "[ -~]{0,300}|((Root|Parent|Sampled|Self)=[0-9a-f;=-]{0,50};?){0,6}") {
        let Some(id) = AmznTraceId::from_header(&HeaderValue::from_str(&value).unwrap()) else { return Ok(()) };
        prop_assert_eq!(id.as_str(), value);
        prop_assert!(id.root().is_none_or(|root| root.len() == 35));
        prop_assert!(id.parent().is_none_or(|parent| parent.len() == 16));
        let _ = id.sampled();
    }
}
