//! The request as it goes on.

use super::*;

#[tokio::test]
async fn json_body_is_joined_for_any_frame_boundaries() {
    let text = r#"{"model":"org/model","messages":[{"role":"user","content":"hi"}]}"#;
    for size in 1..text.len() {
        let body = ScriptedBody::chunked(text.as_bytes(), size);
        let request = send(PayloadLayer::new(), post().body(body).unwrap()).await.unwrap();
        assert_eq!(request.body().bytes().unwrap(), text);
        let context = RequestContext::of(request.extensions()).unwrap();
        assert_eq!(context.model(), Some("org/model"));
        assert_eq!(context.outcome().bytes_in, text.len() as u64);
    }
}

#[tokio::test]
async fn single_frame_is_not_copied() {
    let bytes = Bytes::from(br#"{"model":"m"}"#.to_vec());
    for layer in [PayloadLayer::new(), PayloadLayer::bytes()] {
        let request = send(layer, post().body(full(bytes.clone())).unwrap()).await.unwrap();
        assert_eq!(request.body().bytes().unwrap().as_ptr(), bytes.as_ptr());
    }
}

#[tokio::test]
async fn trailers_are_kept_and_replayed() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let body = ScriptedBody::new([Step::Data(b"[]"), Step::Trailers(trailers.clone())]);
    let request = post().header("transfer-encoding", "chunked").body(body).unwrap();
    let request = send(PayloadLayer::new(), request).await.unwrap();
    // Only chunks can carry them on.
    assert_eq!(request.headers()["transfer-encoding"], "chunked");
    for payload in [request.body().try_clone().unwrap(), request.into_body()] {
        assert!(!payload.is_end_stream());
        let collected = payload.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "[]");
    }
}

#[tokio::test]
async fn framing_headers_have_the_known_length() {
    let fields = |name: &'static str, value: &'static str| async move {
        let request = Request::post("/").header(name, value).body(full("[1]")).unwrap();
        let request = send(PayloadLayer::bytes(), request).await.unwrap();
        let length =
            request.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
        (length, request.headers().contains_key("transfer-encoding"))
    };
    assert_eq!(fields("transfer-encoding", "chunked").await, (Some("3".into()), false));
    assert_eq!(fields("content-length", "7").await, (Some("3".into()), false));
    assert_eq!(fields("content-length", "3").await, (Some("3".into()), false));
    // As HTTP/2 has it.
    assert_eq!(fields("x-none", "").await, (None, false));
}

#[tokio::test]
async fn bodiless_methods_need_no_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        let request = || Request::builder().method(method);
        let ended = request().body(Empty::<Bytes>::new()).unwrap();
        assert!(send(PayloadLayer::new(), ended).await.unwrap().body().bytes().unwrap().is_empty());
        // Where the head does not say yet that nothing follows.
        let open = request().body(ScriptedBody::new([Step::Pending, Step::Data(b"")])).unwrap();
        assert!(send(PayloadLayer::new(), open).await.is_ok());
        // What they do bring is held to the same rules.
        let body = ScriptedBody::new([Step::Data(b"{}")]);
        let (reason, _) = refusal(PayloadLayer::new(), request().body(body).unwrap()).await;
        assert_eq!(reason, Refusal::UnsupportedMediaType, "{method}");
        let body = request().header("content-type", "application/json").body(full("{")).unwrap();
        assert_eq!(refusal(PayloadLayer::new(), body).await.0, Refusal::MalformedPayload);
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let request =
            || Request::builder().method(&method).header("content-type", "application/json");
        let ended = request().body(Empty::<Bytes>::new()).unwrap();
        let (reason, response) = refusal(PayloadLayer::new(), ended).await;
        assert_eq!(reason, Refusal::MalformedPayload);
        assert_eq!(response.extensions().get::<Rejection>().unwrap().position(), Some(0));
        let open = request().body(ScriptedBody::new([])).unwrap();
        assert_eq!(refusal(PayloadLayer::new(), open).await.0, Refusal::MalformedPayload);
        let bytes = Request::builder().method(&method).body(Empty::<Bytes>::new()).unwrap();
        assert!(send(PayloadLayer::bytes(), bytes).await.is_ok());
    }
}

#[tokio::test]
async fn bytes_mode_buffers_any_type_without_parsing() {
    let request = Request::post("/").header("content-type", "image/png").body(full("\u{89}PNG"));
    let request = send(PayloadLayer::bytes(), request.unwrap()).await.unwrap();
    assert_eq!(request.body().bytes().unwrap(), "\u{89}PNG");
    assert!(request.body().document().is_err());
    assert_eq!(RequestContext::of(request.extensions()).unwrap().model(), None);
    // Asked for, the document is held to the layer's bounds.
    let deep = Request::post("/").body(full("[[]]")).unwrap();
    let deep = send(PayloadLayer::bytes().max_depth(1), deep).await.unwrap();
    assert!(deep.body().document().is_err());
}

#[tokio::test]
async fn only_a_short_string_model_is_recorded() {
    let model = |text: String| async move {
        let request = send(PayloadLayer::new(), post().body(full(text)).unwrap()).await.unwrap();
        RequestContext::of(request.extensions()).unwrap().model().map(str::to_owned)
    };
    assert_eq!(model(r#"{"model":"a\u002fb"}"#.into()).await.as_deref(), Some("a/b"));
    assert_eq!(model(format!(r#"{{"model":"{}"}}"#, "m".repeat(256))).await.unwrap().len(), 256);
    assert_eq!(model(format!(r#"{{"model":"{}"}}"#, "m".repeat(257))).await, None);
    assert_eq!(model(r#"{"model":7}"#.into()).await, None);
    assert_eq!(model(r#"{"input":{"model":"m"}}"#.into()).await, None);
    assert_eq!(model(r#"["model","m"]"#.into()).await, None);
}
