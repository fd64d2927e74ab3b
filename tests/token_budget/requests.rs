//! The request that is forwarded and the response that is returned.

use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    transform::TransformLayer,
};

use super::*;

async fn sent(layer: &TokenBudgetLayer, path: &str, body: &str) -> Result<String, u16> {
    let seen = Seen::default();
    let inner = service_fn(remembering(&seen, Answer::json(usage(1, 1))));
    let response = layer.layer(inner).oneshot(post(path, body)).await.unwrap();
    let sent = seen.lock().unwrap().pop();
    sent.ok_or_else(|| response.status().as_u16())
}

#[tokio::test]
async fn a_missing_output_limit_is_written_into_the_body() {
    let layer = Budget::plenty().layer.default_output_limit(77);
    let sent = async |path, body| sent(&layer, path, body).await;
    let chat = "/v1/chat/completions";
    assert_eq!(
        sent(chat, r#"{"messages":[]}"#).await.unwrap(),
        r#"{"messages":[],"max_tokens":77}"#
    );
    let own = r#"{"messages":[],"max_completion_tokens":500}"#;
    assert_eq!(sent(chat, own).await.unwrap(), r#"{"messages":[],"max_tokens":500}"#);
    assert_eq!(
        sent("/v1/responses", r#"{"input":"x","stream":true}"#).await.unwrap(),
        r#"{"input":"x","stream":true,"max_output_tokens":77}"#
    );
    assert_eq!(
        sent("/generate", r#"{"inputs":"x"}"#).await.unwrap(),
        r#"{"inputs":"x","parameters":{"max_new_tokens":77}}"#
    );
    for path in ["/", "/models/gpt2", "/invocations", "/vertex"] {
        assert_eq!(
            sent(path, r#"{"inputs":"x"}"#).await.unwrap(),
            r#"{"inputs":"x","parameters":{"max_new_tokens":77}}"#,
            "{path}"
        );
    }
    // No limit is written where nothing is generated or the form is unknown.
    for (path, body) in [
        ("/v1/embeddings", r#"{"input":"x"}"#),
        ("/v1/images/generations", r#"{"prompt":"x"}"#),
        ("/embed", r#"{"inputs":"x"}"#),
        ("/", r#"{"query":"x"}"#),
        ("/some/route", r#"{"messages":[]}"#),
    ] {
        assert_eq!(sent(path, body).await.unwrap(), body);
    }
    for evasion in [
        r#"{"messages":[],"max_tokens":-2}"#,
        r#"{"messages":[],"n":"100"}"#,
        r#"{"messages":[],"n":0}"#,
        r#"{"messages":[],"stream":"true"}"#,
        r#"{"messages":[],"Max_tokens":5}"#,
    ] {
        assert_eq!(sent(chat, evasion).await, Err(422), "{evasion}");
    }
}

#[tokio::test]
async fn the_output_limit_is_reserved_for_each_choice() {
    let reserved = async |path: &str, body: &str| {
        let budget = Budget::plenty();
        let inner =
            service_fn(|_| std::future::pending::<Result<Response<ScriptedBody>, Infallible>>());
        let mut service = budget.layer.layer(inner);
        let call = tower::Service::call(&mut service, post(path, body));
        let used = budget.used().await;
        drop(call);
        used
    };
    let chat = "/v1/chat/completions";
    assert_eq!(reserved(chat, CHAT).await, CHAT_PROMPT + 10);
    let three = CHAT.replace("10}", "10,\"n\":3}");
    assert_eq!(reserved(chat, &three).await, CHAT_PROMPT + 30);
    let two = r#"{"prompt":["abcd","efgh"],"max_tokens":10,"best_of":2}"#;
    assert_eq!(reserved("/v1/completions", two).await, 3 + 40);
    assert_eq!(reserved("/v1/completions", r#"{"prompt":[1,2,3],"max_tokens":10}"#).await, 13);
    assert_eq!(reserved("/v1/embeddings", r#"{"input":["abcd","ef"]}"#).await, 3);
    assert_eq!(reserved(chat, r#"{"messages":[]}"#).await, 1_024);
    let picture = r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"max_tokens":1}"#;
    // The role and the type of the part are two words and three.
    assert_eq!(reserved(chat, picture).await, 4 + 4 + 1_000 + 1);
}

#[tokio::test]
async fn requested_usage_of_a_stream_is_hidden_from_the_client() {
    let budget = Budget::plenty();
    let seen = Seen::default();
    let stream = events(3, Some((9, 3)));
    let inner = service_fn(remembering(&seen, Answer::stream(stream.clone())));
    let shown = async |body: &str| {
        let request = post("/v1/chat/completions", body);
        let response = budget.layer.layer(inner.clone()).oneshot(request).await.unwrap();
        let shown = response.into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8(shown.to_vec()).unwrap(), seen.lock().unwrap().pop().unwrap())
    };
    for silent in [
        STREAMED.to_owned(),
        STREAMED.replace("true}", "true,\"stream_options\":{\"include_usage\":false}}"),
    ] {
        let before = budget.used().await;
        let (shown, sent) = shown(&silent).await;
        assert!(sent.contains("\"include_usage\":true"), "{sent}");
        assert_eq!(shown, stream.replace(&usage_chunk(9, 3), ""));
        assert_eq!(budget.used().await - before, 12, "a stream evades nothing");
    }
    let asking = STREAMED.replace("true}", "true,\"stream_options\":{\"include_usage\":true}}");
    let (shown, sent) = shown(&asking).await;
    assert_eq!((shown, sent), (stream, asking));
}

#[tokio::test]
async fn usage_that_a_transform_requested_is_hidden_once() {
    let budget = Budget::plenty();
    let stream = events(3, Some((9, 3)));
    let inner = service_fn(remembering(&Seen::default(), Answer::stream(stream.clone())));
    let service = TransformLayer::new().include_usage().layer(budget.layer.layer(inner));
    let response = service.oneshot(streamed()).await.unwrap();
    let shown = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(shown, stream.replace(&usage_chunk(9, 3), ""));
    assert_eq!(budget.used().await, 12);
}

#[tokio::test]
async fn unreadable_bodies_are_rejected_or_have_a_flat_cost() {
    let budget = Budget::plenty();
    let flat = budget.layer.clone().flat_cost(500);
    let send = async |layer: &TokenBudgetLayer, payload, json| {
        let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json("{}").give())));
        let mut request = Request::post("/v1/audio/transcriptions");
        if json {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(payload).unwrap();
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let _read = response.into_body().collect().await;
        status
    };
    let flowing = || Payload::streamed(http_body_util::Full::new(Bytes::from_static(b"RIFF")));
    let bytes = || Payload::buffered(&b"RIFF\xff"[..]);
    assert_eq!(send(&budget.layer, flowing(), false).await, 415);
    assert_eq!(send(&budget.layer, bytes(), false).await, 400);
    assert_eq!(budget.used().await, 0);
    assert_eq!(send(&flat, flowing(), false).await, 200);
    assert_eq!(send(&flat, bytes(), false).await, 200);
    assert_eq!(budget.used().await, 1_000);
    // Invalid JSON has no flat cost.
    assert_eq!(send(&flat, Payload::buffered(r#" {"a":1,"a":2}"#), false).await, 400);
    assert_eq!(send(&flat, bytes(), true).await, 400);
    // Streamed JSON has none either.
    assert_eq!(send(&flat, flowing(), true).await, 415);
    assert_eq!(budget.used().await, 1_000);
    // The text and the two bytes of the response are charged by bytes.
    let text = "a".repeat(4_000);
    assert_eq!(send(&flat, Payload::buffered(text), false).await, 200);
    assert_eq!(budget.used().await, 1_000 + 1_000 + 1);
}

#[tokio::test]
async fn an_unknown_form_is_charged_by_bytes_both_ways() {
    let budget = Budget::plenty();
    let long = "word ".repeat(8_000);
    let answer = |length: usize| {
        Answer::json(format!(
            r#"{{"text":"{}"}}"#,
            "word ".repeat(length / 5)[..length - 11].to_owned()
        ))
    };
    for path in ["/some/route", "/", "/vertex", "/models/org/name", "/invocations"] {
        // Whatever the members are called.
        for name in ["query", "options", "metadata", "user"] {
            let body = format!(r#"{{"{name}":"{long}"}}"#);
            let prompt = body.len().div_ceil(4) as u64;
            assert_eq!(
                budget.charge(post(path, body), answer(80_000)).await,
                prompt + 20_000,
                "{path}"
            );
        }
    }
    // The body is missing although the method needs one.
    assert_eq!(budget.charge(post("/", ""), answer(400)).await, 100);
    // An object of inputs is a task whose length is the upstream's own.
    let task = r#"{"inputs":{"question":"q","context":"c"}}"#;
    let charged = budget.charge(post("/models/qa", task), answer(400)).await;
    assert_eq!(charged, task.len().div_ceil(4) as u64 + 100);
}

#[tokio::test]
async fn an_output_limit_in_the_query_is_reserved() {
    let reserved = async |target: &str, body: &str| {
        let budget = Budget::plenty();
        let inner =
            service_fn(|_| std::future::pending::<Result<Response<ScriptedBody>, Infallible>>());
        let mut service = budget.layer.layer(inner);
        let call = tower::Service::call(&mut service, post(target, body));
        let used = budget.used().await;
        drop(call);
        used
    };
    let body = r#"{"inputs":"abcd","parameters":{"max_new_tokens":10}}"#;
    assert_eq!(reserved("/?max_new_tokens=4000", body).await, 2 + 4_000);
    assert_eq!(reserved("/?max_new_tokens=5&num_return_sequences=3", body).await, 2 + 30);
    assert_eq!(reserved("/?a=b", body).await, 2 + 10);
}

#[tokio::test]
async fn images_and_sound_have_a_fixed_cost() {
    let reserved = async |path: &str, body: &str| {
        let budget = Budget::plenty();
        let before = budget.used().await;
        let answer = Answer::json(format!(r#"{{"data":"{}"}}"#, "A".repeat(100_000)));
        budget.charge(post(path, body), answer).await - before
    };
    let image = r#"{"prompt":"abcd"}"#;
    assert_eq!(reserved("/v1/images/generations", image).await, 2 + 1_000);
    assert_eq!(reserved("/v1/images/generations", r#"{"prompt":"abcd","n":3}"#).await, 2 + 3_000);
    assert_eq!(reserved("/v1/audio/speech", r#"{"input":"abcd"}"#).await, 2 + 1_000);
}

#[tokio::test]
async fn a_rejection_has_retry_after() {
    let budget = Budget::of(17);
    let layer = budget.layer.clone();
    assert_eq!(budget.charge(chat(), Answer::json(usage(6, 10))).await, 16);
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json("{}").give())));
    let refused = layer.layer(inner).oneshot(chat()).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(layer.counts()[0].rejected, 1);
}

#[tokio::test]
async fn headers_count_in_tokens() {
    let layer = TokenBudgetLayer::new(Limit::per_identity(Rate::per_minute(100)));
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json(usage(6, 10)).give())));
    let mut request = chat();
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7")));
    let answer = layer.layer(inner).oneshot(request).await.unwrap();
    let policy = answer.headers()["ratelimit-policy"].to_str().unwrap();
    assert_eq!(policy, r#""identity";q=100;qu="tokens";w=60"#);
    // An unauthenticated request has no budget.
    assert_eq!(layer.layer(inner).oneshot(chat()).await.unwrap().status(), 401);
}
