//! Targets of servers and endpoints.

use tower_inference::{model::Target, rejection::Refusal};

use super::*;

#[test]
fn a_server_has_models_and_no_providers() {
    let rows = [
        (CHAT, r#"{"model":"demo"}"#, Ok("demo")),
        (CHAT, r#"{"model":"org/name"}"#, Ok("org/name")),
        (CHAT, r#"{"model":"llama3:8b"}"#, Ok("llama3:8b")),
        (CHAT, r#"{"model":"ft:gpt-4o-mini:acme::id"}"#, Ok("ft:gpt-4o-mini:acme::id")),
        (CHAT, r#"{"model":"@cf/meta/llama"}"#, Ok("@cf/meta/llama")),
        (CHAT, r#"{"model":"http://evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"Http:evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"ftp:/evil.example"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"a/../b"}"#, Err(TargetError::Name)),
        (CHAT, r#"{"model":"/data/model"}"#, Err(TargetError::Name)),
        ("/hf-inference/models/org/name", "{}", Err(TargetError::Route)),
        ("/generate", r#"{"model":"demo"}"#, Err(TargetError::Route)),
    ];
    check(&Profile::compatible(), &rows);
    let added = Profile::compatible().route("/pooling", BodyForm::Reads);
    check(&added, &[("/pooling", r#"{"model":"demo"}"#, Ok("demo"))]);
}

#[test]
fn an_endpoint_ignores_the_bodys_model() {
    let endpoint = Profile::endpoint("org/name");
    for body in [
        "",
        "not json",
        "{}",
        r#"{"model":"tgi"}"#,
        r#"{"model":"http://127.0.0.1:55563/v1"}"#,
        r#"{"model":"a","model":"b","Model":"c"}"#,
        r#"{"model":"evil/model:groq"}"#,
    ] {
        for path in
            [CHAT, "/v1/embeddings", "/", "/generate", "/embed", "/rerank", "/models/org/name"]
        {
            assert_eq!(reached(&endpoint, &post(path, body)).unwrap(), "org/name", "{path} {body}");
        }
    }
    let route = Err(TargetError::Route);
    let rows = [
        ("/_custom_router/set-backends", "{}", route),
        ("/metrics", "", route),
        ("/models/org/other", "{}", route),
        ("/models/org/name/x", "{}", route),
        ("/models/Org/name", "{}", route),
        ("/hf-inference/models/org/name", "{}", route),
        ("/together/v1/chat/completions", "{}", route),
        (
            "/models/org/name/v1/completions",
            r#"{"model":"http://x/models/org/name"}"#,
            Ok("org/name"),
        ),
    ];
    check(&endpoint, &rows);
    let get = request(Method::GET, "/", Payload::default());
    assert_eq!(reached(&endpoint, &get), route.map(str::to_owned));
    let grpc = Profile::endpoint("org/name").route("/tei.v1.Embed/Embed", BodyForm::Unknown);
    assert_eq!(reached(&grpc, &post("/tei.v1.Embed/Embed", "")).unwrap(), "org/name");
}

#[test]
fn each_kind_of_server_names_its_model_in_its_own_place() {
    // The client chooses among the models and adapters of these servers.
    for server in [Profile::vllm(), Profile::llama_cpp()] {
        check(&server, &[(CHAT, r#"{"model":"adapter"}"#, Ok("adapter"))]);
    }
    for server in [Profile::tgi("org/name"), Profile::tei("org/name"), Profile::space("org/name")] {
        check(&server, &[(CHAT, r#"{"model":"adapter"}"#, Ok("org/name"))]);
    }
    // Only a Space has functions.
    let function = "/gradio_api/call/predict";
    check(&Profile::space("owner/space"), &[(function, "{}", Ok("owner/space"))]);
    check(&Profile::endpoint("m"), &[(function, "{}", Err(TargetError::Route))]);
}

#[test]
fn names_without_escapes_are_borrowed() {
    let router = Profile::router();
    let plain = post(CHAT, r#"{"model":"org/name:together"}"#);
    let target = router.target(&plain).unwrap();
    assert!(matches!(target.model, Some(Cow::Borrowed("org/name"))));
    assert!(matches!(target.provider, Provider::Named(Cow::Borrowed("together"))));
    assert_eq!(Box::<str>::from(&target), target.to_string().into_boxed_str());
    assert_eq!(Box::<str>::from(&Target::new("m")), Box::<str>::from("m"));
}

#[test]
fn an_error_does_not_repeat_the_request() {
    let all = [
        (TargetError::Path, Refusal::Forbidden),
        (TargetError::Route, Refusal::Forbidden),
        (TargetError::MediaType, Refusal::UnsupportedMediaType),
        (STREAMED, Refusal::UnsupportedMediaType),
        (EMPTY, Refusal::MalformedPayload),
        (TargetError::Missing, Refusal::MalformedPayload),
        (TargetError::Name, Refusal::Forbidden),
        (TargetError::Ambiguous, Refusal::Forbidden),
        (TargetError::Conflict, Refusal::Forbidden),
    ];
    for (error, refusal) in all {
        assert_eq!(error.rejection().refusal(), refusal);
        let said = error.to_string();
        assert_eq!(said, said.to_lowercase());
        assert_eq!(
            std::error::Error::source(&error).is_some(),
            matches!(error, TargetError::Body(_))
        );
    }
}
