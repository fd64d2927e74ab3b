//! The id that a request gets.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

#[test]
fn a_request_without_id_gets_a_uuid_v7_everywhere() {
    let ids = exchange(&RequestIdLayer::new(), request(&[]));
    assert!(is_ours(ids.only()), "{ids:?}");
}

#[test]
fn an_inbound_id_of_nobody_we_trust_is_replaced() {
    let ids = exchange(&RequestIdLayer::new(), request(&["abc"]));
    assert!(is_ours(ids.only()), "{ids:?}");
}

#[test]
fn several_inbound_ids_become_one_of_ours_even_if_trusted() {
    let layer = RequestIdLayer::new().dangerous_trust_all_peers();
    for inbound in [&["abc", "def"][..], &["abc", "abc"], &["", "abc"]] {
        let ids = exchange(&layer, request(inbound));
        assert!(is_ours(ids.only()), "{ids:?}");
    }
}

#[test]
fn an_inbound_id_of_a_trusted_peer_is_kept() {
    #[derive(Clone)]
    struct Peer(&'static str);

    let layer = RequestIdLayer::new().trust_inbound(|extensions, headers| {
        extensions.get::<Peer>().is_some_and(|peer| peer.0 == "balancer")
            && headers.contains_key("via")
    });
    for (peer, via, kept) in
        [("balancer", true, true), ("balancer", false, false), ("other", true, false)]
    {
        let mut request = request(&["balancer-1.7_x"]);
        request.extensions_mut().insert(Peer(peer));
        if via {
            request.headers_mut().insert("via", HeaderValue::from_static("1.1 balancer"));
        }
        let ids = exchange(&layer, request);
        assert_eq!(ids.only() == "balancer-1.7_x", kept, "{ids:?}");
        assert!(kept || is_ours(ids.only()));
    }
}

/// The value is a slice of what the connection has read; a record may outlive the request.
#[test]
fn a_trusted_id_that_is_kept_keeps_no_buffer() {
    let buffer = Bytes::from(vec![b'a'; 64 * 1024]);
    let id = HeaderValue::from_maybe_shared(buffer.slice(..LONGEST)).unwrap();
    let mut context = None;
    let mut service = RequestIdLayer::new().dangerous_trust_all_peers().layer(service_fn(
        |request: Request<()>| {
            context = RequestContext::of(request.extensions()).cloned();
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        },
    ));
    let request = Request::builder().header("x-request-id", id).body(()).unwrap();
    let response = now(service.call(request)).unwrap();
    drop(service);
    assert_eq!(context.unwrap().request_id().unwrap(), "a".repeat(LONGEST));
    assert_eq!(response.headers()["x-request-id"], "a".repeat(LONGEST));
    assert!(buffer.is_unique());
}

#[test]
fn an_id_that_is_not_well_formed_is_replaced_without_asking_for_trust() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let layer = RequestIdLayer::new().trust_inbound(move |_, _| {
        counter.fetch_add(1, Relaxed);
        true
    });
    let long = "a".repeat(129);
    for odd in ["", &long, "a b", "a,b", "a\tb", "a=b", "é", "a/b", "a:b", "\"a\"", "a;", "a+b"] {
        let ids = exchange(&layer, request(&[odd]));
        assert!(is_ours(ids.only()), "{odd:?} gave {ids:?}");
    }
    assert_eq!(asked.load(Relaxed), 0);

    let longest = "Z9._-".repeat(26)[..128].to_owned();
    for plain in ["a", "Z9._-", &longest, "0", "."] {
        assert_eq!(exchange(&layer, request(&[plain])).only(), plain);
    }
    assert_eq!(asked.load(Relaxed), 5);
}

proptest! {
    #[test]
    fn only_well_formed_ids_are_kept(id in "[A-Za-z0-9._-]{0,130}|[ -~é]{0,20}") {
        let legal = (1..=128).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let layer = RequestIdLayer::new().dangerous_trust_all_peers();
        let ids = exchange(&layer, request(&[&id]));
        prop_assert_eq!(ids.only() == id, legal);
    }
}

#[test]
fn the_id_of_the_inner_services_response_is_replaced() {
    let answers = |_: Request<()>| {
        let ids = [("x-request-id", "inner"), ("x-request-id", "again"), ("server", "inner")];
        let mut response = Response::new(());
        for (name, value) in ids {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    };
    let response = now(RequestIdLayer::new().layer(Once(answers)).call(request(&[]))).unwrap();
    let client = ids(response.headers());
    assert!(client.len() == 1 && is_ours(&client[0]), "{client:?}");
    assert_eq!(response.headers()["server"], "inner");
}

#[test]
fn errors_pass_untouched() {
    let inner = service_fn(|_: Request<()>| ready(Err::<Response<()>, _>("broken")));
    assert_eq!(
        now(RequestIdLayer::new().layer(inner).oneshot(request(&[]))).unwrap_err(),
        "broken"
    );
}

#[test]
fn a_nested_layer_changes_nothing() {
    let spans = Spans::default();
    let _listens = listen(&spans);
    let inner = |request: Request<()>| {
        assert_eq!(ids(request.headers()).len(), 1);
        let mut response = Response::new(());
        let context = RequestContext::of(request.extensions()).unwrap();
        response.extensions_mut().insert(context.request_id().unwrap().to_owned());
        response
    };
    let nested = RequestIdLayer::new().layer(Once(inner));
    let mut service = RequestIdLayer::new().dangerous_trust_all_peers().layer(Unnamed(nested));
    let response = now(service.call(request(&["outer"]))).unwrap();
    assert_eq!(ids(response.headers()), ["outer"]);
    assert_eq!(response.extensions().get::<String>().unwrap(), "outer");
    assert_eq!(spans.made().len(), 1);
}

/// Asserts that the layer inside leaves the answer's field to the one outside.
struct Unnamed<S>(S);

impl<S, B, R> Service<Request<B>> for Unnamed<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = now(self.0.call(request)).unwrap();
        assert!(!response.headers().contains_key("x-request-id"));
        ready(Ok(response))
    }
}

#[test]
fn an_id_that_the_context_has_already_stays() {
    let mut request = request(&["abc"]);
    RequestContext::ensure(request.extensions_mut())
        .set_request_id(HeaderValue::from_static("the service's own"));
    let layer = RequestIdLayer::new().dangerous_trust_all_peers();
    assert_eq!(exchange(&layer, request).only(), "the service's own");
}
