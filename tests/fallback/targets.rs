//! The request that a target gets, and the targets of a request.

use tower_inference::{
    fallback::RetryBudget,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    transform::TransformLayer,
};

use super::*;

/// The body that the second target gets.
async fn fallen_back(second: Target, body: &'static str) -> String {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    send(&FallbackLayer::new([target("a"), second]), &hosts, chat(body)).await;
    assert_eq!(hosts.requests("a")[0].body(), body);
    let requests = hosts.requests("b");
    let text = |request: &TestRequest| String::from_utf8(request.body().to_vec()).unwrap();
    requests.first().map(text).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn each_target_has_its_host_token_and_path() {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let prefixed = Stage::new(
        "b",
        "https://b.example/openai".parse().unwrap(),
        TokenSource::value(Secret::new("hf_tokenOfb")).unwrap(),
    );
    let azure = Target::new(prefixed.profile(Profile::azure_openai()));
    let mut request = hello();
    request.headers_mut().insert("content-length", HeaderValue::from_static("60"));
    let azure = azure.model("org/longer/than/before");
    send(&FallbackLayer::new([target("a"), azure]), &hosts, request).await;
    let (a, b) = (&hosts.requests("a")[0], &hosts.requests("b")[0]);
    assert_eq!(a.uri(), "https://a.example/v1/chat/completions");
    assert_eq!(b.uri(), "https://b.example/openai/v1/chat/completions");
    assert_eq!(
        (&a.headers()["host"], &b.headers()["host"]),
        (&"a.example".parse().unwrap(), &"b.example".parse().unwrap())
    );
    assert_eq!(a.headers()["authorization"], "Bearer hf_tokenOfa");
    assert_eq!(b.headers()["api-key"], "hf_tokenOfb");
    assert!(!b.headers().contains_key("authorization"));
    assert_eq!(b.headers()["content-length"], b.body().len().to_string());
}

#[tokio::test(start_paused = true)]
async fn the_model_of_a_target_is_written_into_the_body() {
    let body = r#"{ "model": "m",  "messages": [] }"#;
    let sent = fallen_back(target("b").model("org/other"), body).await;
    assert_eq!(sent, r#"{ "model": "org/other",  "messages": [] }"#);
    // Without a model, and with its own, nothing changes.
    assert_eq!(fallen_back(target("b"), body).await, body);
    assert_eq!(fallen_back(target("b").model("m"), body).await, body);
}

#[tokio::test(start_paused = true)]
async fn the_output_limit_has_the_name_of_the_target() {
    for (target, body, sent) in [
        (
            openai("b"),
            r#"{"model":"m","max_tokens":5,"n":1}"#,
            r#"{"model":"m","n":1,"max_completion_tokens":5}"#,
        ),
        (
            target("b"),
            r#"{"model":"m","max_completion_tokens":5}"#,
            r#"{"model":"m","max_tokens":5}"#,
        ),
        (
            openai("b"),
            r#"{"model":"m","max_completion_tokens":5}"#,
            r#"{"model":"m","max_completion_tokens":5}"#,
        ),
        // With both, the smaller one.
        (
            openai("b"),
            r#"{"model":"m","max_completion_tokens":9,"max_tokens":5}"#,
            r#"{"model":"m","max_completion_tokens":5}"#,
        ),
        (
            target("b"),
            r#"{"model":"m","max_completion_tokens":5,"max_tokens":null}"#,
            r#"{"model":"m","max_tokens":5}"#,
        ),
        // Not certain, so the target is skipped.
        (openai("b"), r#"{"model":"m","max_tokens":"5"}"#, ""),
        (openai("b"), r#"{"model":"m","max_tokens":5,"Max_Tokens":9}"#, ""),
    ] {
        assert_eq!(fallen_back(target, body).await, sent, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_rejects_stream_options_does_not_get_them() {
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    let mistral = Target::new(stage("b").profile(Profile::mistral()));
    assert_eq!(fallen_back(mistral, body).await, r#"{"model":"m","stream":true}"#);
    assert_eq!(fallen_back(target("b"), body).await, body);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_skipped_for_a_request_that_it_does_not_know() {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let layer = FallbackLayer::new([target("a"), target("b").model("org/other")]);
    let request = |path: &str, body: &'static str| {
        let request = Request::post(path).header("content-type", "application/json");
        request.body(Payload::buffered(body)).unwrap()
    };
    for request in [
        // A route without a model in its body.
        request("/generate", r#"{"inputs":"x"}"#),
        // The path names another model.
        request("/hf-inference/models/org/name", r#"{"inputs":"x"}"#),
        // Readers may read another model.
        request("/v1/chat/completions", r#"{"Model":"m","messages":[]}"#),
    ] {
        let row = format!("{request:?}");
        assert_eq!(send(&layer, &hosts, request).await.status, 500, "{row}");
    }
    assert_eq!(hosts.calls(), [3, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_alias_has_targets_of_its_own() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let layer = FallbackLayer::new([target("a")])
        .model("fast", [target("b").model("org/small")])
        .model("fast", [target("b").model("org/tiny")]);
    let got = send(&layer, &hosts, chat(r#"{"model":"fast","messages":[]}"#)).await;
    assert_eq!(got.target.as_deref(), Some("b/org/tiny"));
    assert_eq!(hosts.requests("b")[0].body(), r#"{"model":"org/tiny","messages":[]}"#);
    let outcome = got.context.outcome();
    assert_eq!((outcome.fell_back, got.context.target()), (false, Some("org/tiny")));
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn another_model_than_the_named_one_is_a_fallback() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let layer = FallbackLayer::new([target("a").model("org/other")]);
    assert!(send(&layer, &hosts, hello()).await.context.outcome().fell_back);
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_targets_changes_nothing() {
    let hosts = Hosts::of([("default", TestUpstream::new(TestResponse::chat("x")))]);
    let got = send(&FallbackLayer::new([]), &hosts, hello()).await;
    assert_eq!((got.status, got.target, hosts.calls()), (200, None, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_target_takes_is_rejected() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let layer = FallbackLayer::new([target("a").model("org/other")]);
    let body = Payload::streamed(http_body_util::Full::new(Bytes::from_static(b"x")));
    let request = Request::post("/v1/audio/transcriptions").body(body).unwrap();
    let got = send(&layer, &hosts, request).await;
    assert_eq!((got.status, hosts.calls()), (500, vec![0]));
    assert_eq!(got.context.outcome().rejection, Some("misconfigured"));
}

#[tokio::test(start_paused = true)]
async fn the_header_names_the_target_unless_it_is_turned_off() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let named = FallbackLayer::new([target("a").name("primary").model("m")]);
    assert_eq!(send(&named, &hosts, hello()).await.target.as_deref(), Some("primary"));
    let silent = named.without_target_header();
    assert_eq!(send(&silent, &hosts, hello()).await.target, None);
    // A name that is no value of a header does not leave that of another gateway.
    let name = http::HeaderName::from_static("x-inference-target");
    let one = TestResponse::chat("one").header(name, HeaderValue::from_static("other"));
    let hosts = super::hosts(one, TestResponse::chat("two"));
    let odd = FallbackLayer::new([target("a").name("gr\u{fc}n")]);
    let got = send(&odd, &hosts, hello()).await;
    assert_eq!((got.status, got.target), (200, None));
}

#[tokio::test(start_paused = true)]
async fn model_rules_are_checked_for_each_target() {
    let rules = ModelRules::new().allow(ModelRule::new(["m", "org/allowed"]));
    let rules = ModelRulesLayer::new(Profile::compatible(), rules);
    let layer = FallbackLayer::new([
        target("a"),
        target("b").model("org/forbidden"),
        target("c").model("org/allowed"),
    ]);
    let up = |response| TestUpstream::new(response);
    let hosts = Hosts::of([
        ("a", up(status(500))),
        ("b", up(TestResponse::chat("two"))),
        ("c", up(TestResponse::chat("three"))),
    ]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = rules.layer(layer.layer(UpstreamLayer::new().layer(inner)));
    let got = send_to(service, hello()).await;
    assert_eq!((got.target.as_deref(), hosts.calls()), (Some("c/org/allowed"), vec![1, 0, 1]));
    assert_eq!(got.context.target(), Some("org/allowed"));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_rules_allow_no_target_is_forbidden() {
    let rules = ModelRules::new().allow(ModelRule::new(["fast"]));
    let rules = ModelRulesLayer::new(Profile::compatible(), rules);
    let layer = FallbackLayer::new([]).model("fast", [target("a").model("org/forbidden")]);
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = rules.layer(layer.layer(UpstreamLayer::new().layer(inner)));
    let got = send_to(service, chat(r#"{"model":"fast","messages":[]}"#)).await;
    assert_eq!((got.status, hosts.calls()), (403, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn an_edit_outside_is_part_of_every_attempt() {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let transform = TransformLayer::new().override_json("/temperature".parse().unwrap(), 0);
    let service = transform.layer(two().layer(UpstreamLayer::new().layer(inner)));
    let response = service.oneshot(chat(r#"{"model":"m","messages":[]}"#)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for host in ["a", "b"] {
        let sent = hosts.requests(host)[0].body().clone();
        assert_eq!(sent, r#"{"model":"m","messages":[],"temperature":0}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_gets_no_names_of_the_one_before() {
    let body = r#"{"model":"smart","messages":[],"stream_options":{"include_usage":true}}"#;
    let empty = || RetryBudget::new().percent(0).min_per_second(0);
    for (first, sent) in [
        (target("a").model("org/large"), body.replace("smart", "org/large")),
        (
            Target::new(stage("a").profile(Profile::mistral())).model("org/large"),
            r#"{"model":"org/large","messages":[]}"#.to_owned(),
        ),
    ] {
        for failure in [status(500), TestResponse::unreachable()] {
            let row = format!("{first:?} {failure:?}");
            let hosts = hosts(failure, TestResponse::chat("two"));
            let layer = FallbackLayer::new([])
                .model("smart", [first.clone(), target("b")])
                .retries(1)
                .retry_budget(empty());
            let got = send(&layer, &hosts, chat(body)).await;
            assert_eq!((got.status, hosts.calls()), (200, vec![1, 1]), "{row}");
            assert_eq!(hosts.requests("a")[0].body(), &*sent, "{row}");
            assert_eq!(hosts.requests("b")[0].body(), body, "{row}");
            assert_eq!(got.context.target(), Some("smart"), "{row}");
        }
    }
}
