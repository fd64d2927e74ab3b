//! Which responses are stored.

use proptest::prelude::*;

use super::*;

/// Returns the number of upstream calls for two successive requests.
async fn calls(
    layer: &CacheLayer,
    upstream: &Upstream,
    request: fn() -> Request<Payload>,
) -> usize {
    for _ in 0..2 {
        let response = send(layer, upstream, request()).await;
        let _however_it_ends = response.into_body().collect().await;
    }
    assert_eq!(layer.entries(), usize::from(upstream.calls() == 1));
    upstream.calls()
}

/// Returns whether a response is stored.
async fn is_kept(
    response: fn() -> Response<ScriptedBody>,
    request: fn() -> Request<Payload>,
) -> bool {
    let upstream = Upstream::new(move |_, _| response());
    calls(&layer(Scope::Identity).0, &upstream, request).await == 1
}

fn with(name: &'static str, value: &'static str) -> Response<ScriptedBody> {
    let mut response = json(&completion(0));
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

fn status(status: u16) -> Response<ScriptedBody> {
    let mut response = json(&completion(0));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

#[tokio::test]
async fn complete_responses_are_stored() {
    assert!(is_kept(|| json(&completion(0)), plain).await);
    assert!(is_kept(|| status(201), plain).await);
    assert!(is_kept(|| with("vary", "accept, accept-encoding"), plain).await);
    // A body has its length: of an image anywhere, and of any type where no form is known.
    fn sized() -> Response<ScriptedBody> {
        Response::new(ScriptedBody::new([Step::Data(b"\0\x01"), Step::Data(b"\x02")]).announce(3))
    }
    let image = || {
        let mut response = sized();
        response.headers_mut().insert("content-type", "image/png".parse().unwrap());
        response
    };
    let elsewhere = || post(Some(user("a")), "/elsewhere", r#"{"temperature":0}"#);
    let of_any_task = || post(Some(user("a")), "/models/m", r#"{"temperature":0}"#);
    assert!(!is_kept(sized, plain).await);
    assert!(!is_kept(image, plain).await);
    assert!(is_kept(image, of_any_task).await);
    assert!(is_kept(sized, elsewhere).await);
    // Without a length, the grammar proves that JSON is complete.
    let grammar = || {
        let body = ScriptedBody::new([Step::Data(b"[[0.5,"), Step::Data(b"1],[2,3]]")]);
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    };
    let embeddings = || post(Some(user("a")), "/embed", r#"{"inputs":["a","b"]}"#);
    assert!(is_kept(grammar, embeddings).await);
    // A status of 204 has no body, and so no result of a model.
    let no_content = || Response::builder().status(204).body(empty()).unwrap();
    assert!(is_kept(no_content, elsewhere).await);
    assert!(!is_kept(no_content, plain).await);
}

fn empty() -> ScriptedBody {
    ScriptedBody::default().announce(0)
}

#[tokio::test]
async fn empty_responses_are_not_stored() {
    assert!(!is_kept(|| Response::new(empty()), plain).await);
    for body in [
        "{}",
        " { } ",
        "null",
        "\"\"",
        "<html>",
        "{\"a\":1",
        "[]",
        "0",
        "\"x\"",
        "false",
        "[{\"a\":1},{\"a\":2}]",
        "{\"choices\":[]}",
        "{\"choices\":[{}]}",
        "[1]",
    ] {
        let upstream = Upstream::new(move |_, _| json(body));
        assert_eq!(calls(&layer(Scope::Identity).0, &upstream, plain).await, 2, "{body}");
    }
}

#[tokio::test]
async fn errors_are_not_stored() {
    for code in [301, 400, 404, 429, 500, 503] {
        let upstream = Upstream::new(move |_, _| status(code));
        assert_eq!(calls(&layer(Scope::Identity).0, &upstream, plain).await, 2, "{code}");
    }
    assert!(!is_kept(|| json(r#"{"error":{"message":"out of memory"}}"#), plain).await);
}

#[tokio::test]
async fn responses_can_forbid_to_be_stored() {
    assert!(!is_kept(|| with("set-cookie", "a=b"), plain).await);
    assert!(!is_kept(|| with("cache-control", "no-store"), plain).await);
    assert!(!is_kept(|| with("cache-control", "private"), plain).await);
    assert!(!is_kept(|| with("vary", "*"), plain).await);
    assert!(!is_kept(|| with("vary", "x-user"), plain).await);
    assert!(!is_kept(|| with("content-encoding", "gzip"), plain).await);
    assert!(!is_kept(|| with("content-range", "bytes 0-1/2"), plain).await);
}

#[tokio::test]
async fn truncated_bodies_are_not_stored() {
    let short = || {
        let mut response = json(&completion(0));
        response.headers_mut().insert("content-length", "3".parse().unwrap());
        response
    };
    assert!(!is_kept(short, plain).await);
    let broken =
        || json(&completion(0)).map(|_| ScriptedBody::new([Step::Data(b"{"), Step::Error]));
    assert!(!is_kept(broken, plain).await);
    let unsized_json = |body: &'static [u8]| {
        let body = ScriptedBody::new([Step::Data(body)]);
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    };
    let half = Upstream::new(move |_, _| unsized_json(br#"{"choices":[{"#));
    assert_eq!(calls(&layer(Scope::Identity).0, &half, plain).await, 2);
    // Binary data without a length may be truncated.
    assert!(!is_kept(|| Response::new(ScriptedBody::new([Step::Data(b"\0")])), plain).await);
}

#[tokio::test]
async fn incomplete_streams_are_not_stored() {
    type Steps = fn() -> Vec<Step>;
    let of = |steps: Steps| Upstream::new(move |_, _| events(steps()));
    let streams: [(usize, Steps); 8] = [
        // An end mark without content.
        (2, || vec![Step::Data(b"data: {}\n\n"), Step::Data(b"data: [DONE]\n\n")]),
        (2, || vec![Step::Data(b"data: [DONE]\n\n")]),
        (2, || vec![Step::Data(b"data: {\"a\":1}\n\n"), Step::Data(b"data: [DONE]\n\n")]),
        (1, || vec![Step::Data(b"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n")]),
        // Without details, TGI does not tell whether its limit has cut the text.
        (2, || vec![Step::Data(b"data:{\"token\":{},\"generated_text\":\"x\"}\n\n")]),
        // No end mark.
        (2, || vec![Step::Data(b"data: {}\n\n")]),
        // A failure after the end mark.
        (2, || vec![Step::Data(b"data: [DONE]\n\n"), Step::Error]),
        // An error before the end mark, as TGI sends it.
        (2, || {
            vec![
                Step::Data(b"data:{\"error\":{\"message\":\"x\"}}\n\n"),
                Step::Data(b"data: [DONE]\n\n"),
            ]
        }),
    ];
    for (number, (expected, steps)) in streams.into_iter().enumerate() {
        let (layer, _) = layer(Scope::Identity);
        assert_eq!(calls(&layer, &of(steps), streamed).await, expected, "{number}");
    }
}

#[tokio::test]
async fn a_cancelled_response_is_not_stored() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        events([Step::Data(b"data: {}\n\n"), Step::Data(b"data: [DONE]\n\n")])
    });
    let mut body = send(&layer, &upstream, streamed()).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(layer.entries(), 0);
}

/// hyper stops polling a body at its length.
#[tokio::test]
async fn a_response_is_stored_once_its_length_was_read() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    let mut body = send(&layer, &upstream, plain()).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(layer.entries(), 1);
}

#[tokio::test]
async fn large_responses_are_not_stored() {
    for announced in [true, false] {
        let (layer, _) = layer(Scope::Identity);
        let layer = layer.memory(MemoryTier::new().max_entry_bytes(1_000));
        let upstream = Upstream::new(move |_, _| {
            let mut response = json(&format!("[{}1]", "1,".repeat(600)));
            if !announced {
                response.headers_mut().remove("content-length");
            }
            response
        });
        assert_eq!(calls(&layer, &upstream, plain).await, 2);
    }
}

#[tokio::test]
async fn trailers_are_stored() {
    let upstream = Upstream::new(|_, _| {
        let trailers = [(header::ETAG, "7".parse().unwrap())].into_iter().collect();
        let events = b"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        self::events([Step::Data(events), Step::Trailers(trailers)])
    });
    let (layer, _) = layer(Scope::Identity);
    for _ in 0..2 {
        let (frames, trailers) = read(send(&layer, &upstream, streamed()).await).await;
        assert_eq!((frames.len(), &trailers.unwrap()[header::ETAG]), (1, &"7".parse().unwrap()));
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn headers_of_one_hop_or_one_caller_are_not_stored() {
    let upstream = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-request-id", "r"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("x-model", "m"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    });
    let (layer, _) = layer(Scope::Identity);
    let first = send(&layer, &upstream, plain()).await;
    assert_eq!(first.headers()["x-request-id"], "r");
    // A follower, and a later hit.
    let follower = send(&layer, &upstream, plain()).await;
    text(first).await;
    let later = send(&layer, &upstream, plain()).await;
    for response in [follower, later] {
        let headers = response.headers();
        assert_eq!(headers["x-model"], "m");
        for name in ["connection", "x-hop", "x-request-id", "x-ratelimit-remaining-tokens"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_fallback_response_is_not_stored() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|number, request| {
        if number == 0 {
            context(&request).set_fell_back();
        }
        json(&completion(number))
    });
    let request = plain();
    let record = context(&request);
    assert_eq!(body_of(&layer, &upstream, request).await, completion(0));
    assert!(record.outcome().fell_back);
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(1));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(1));
}

#[tokio::test]
async fn uncompressed_responses_are_requested_from_the_upstream() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, request| {
        assert_eq!(request.headers()["accept-encoding"], "identity");
        json(&completion(0))
    });
    let mut request = plain();
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    body_of(&layer, &upstream, request).await;
}

#[tokio::test]
async fn memory_is_bounded() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.memory(MemoryTier::new().max_bytes(1 << 20).max_entry_bytes(64 << 10));
    let upstream = Upstream::new(|_, _| json(&completion(0).replace('0', &"x".repeat(20_000))));
    for number in 0..200 {
        let body = format!(r#"{{"temperature":0,"n":{number}}}"#);
        body_of(&layer, &upstream, post(Some(user("a")), CHAT, &body)).await;
        assert!(layer.bytes() <= 1 << 20);
    }
    assert!((30..=52).contains(&layer.entries()), "{}", layer.entries());
    let counts = &layer.counts()[0];
    assert_eq!((counts.stored, counts.evicted), (200, 200 - layer.entries() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Half of the parts are real, so that some responses are complete.
    #[test]
    fn only_complete_responses_are_stored(
        how in prop::array::uniform5(any::<u8>()),
        what in prop::collection::vec(prop_oneof![0_u8..24, 0xf0_u8.., Just(6), any::<u8>()], 0..12),
    ) {
        scripts::check(&[&how[..], &what].concat());
    }
}
