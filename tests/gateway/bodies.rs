//! What bodies are held to, and what becomes of them: `--schema` and `--max-tokens`, by route.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    client::{CHAT, json as json_of, post, send, slug},
    process::{Gateway, run},
    stub::{Folder, Stub, UPSTREAM_TOKEN, gateway},
    token::{self, Signer},
};

const CHAT_PATH: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = r#"{"model":"demo","input":["one","two"],"encoding_format":"base64"}"#;

/// What the upstream is sent for `body`, which must get there.
async fn sent_on(
    gateway: &Gateway,
    stub: &mut Stub,
    caller: &str,
    (path, body): (&str, &str),
) -> String {
    let (answer, seen) = tokio::join!(send(gateway.address, post(path, caller, body)), async {
        let mut seen = stub.seen().await;
        seen.answer("ok").await;
        seen
    });
    assert_eq!(answer.status(), StatusCode::OK, "{path} {body}");
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    String::from_utf8(seen.body.to_vec()).unwrap()
}

/// Where a body breaks its schema, which must keep it from the upstream.
async fn violations(
    gateway: &Gateway,
    stub: &mut Stub,
    caller: &str,
    (path, body): (&str, &str),
) -> Vec<String> {
    let answer = send(gateway.address, post(path, caller, body)).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}");
    let problem = json_of(answer).await;
    assert_eq!(problem["type"], "urn:tower-inference:refusal:invalid-payload");
    assert!(stub.saw_nothing());
    let pointers = problem["errors"].as_array().unwrap().iter();
    pointers.map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_route_has_a_schema_of_its_own() {
    let folder = Folder::new("schema-builtin");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, ["--schema", "builtin"]).await;
    let caller = signer.sign(&token::claims());

    for good in [
        (CHAT_PATH, CHAT),
        ("/v1/embeddings", EMBEDDINGS),
        ("/v1/completions", r#"{"model":"demo","prompt":"once"}"#),
        ("/v1/responses", r#"{"model":"demo","input":"once"}"#),
        ("/generate", r#"{"inputs":"once"}"#),
        ("/embed", r#"{"inputs":["one","two"]}"#),
        ("/rerank", r#"{"query":"q","texts":["a"]}"#),
    ] {
        assert_eq!(sent_on(&gateway, &mut stub, &caller, good).await, good.1);
    }
    for (bad, pointers) in [
        ((CHAT_PATH, r#"{"model":"demo","messages":[]}"#), ["/messages"]),
        (
            (CHAT_PATH, r#"{"model":"demo","messages":[{"role":"user","content":5}]}"#),
            ["/messages/0/content"],
        ),
        // The body of one route is not that of another.
        ((CHAT_PATH, EMBEDDINGS), [""]),
        (("/v1/responses", CHAT), [""]),
        (("/v1/embeddings", r#"{"model":"demo","input":5}"#), ["/input"]),
        (("/rerank", r#"{"query":"q","texts":"a"}"#), ["/texts"]),
        (("/generate", r#"{"inputs":["a"]}"#), ["/inputs"]),
    ] {
        assert_eq!(violations(&gateway, &mut stub, &caller, bad).await, pointers, "{bad:?}");
    }
}

#[tokio::test]
async fn the_profile_names_the_limit_the_header_of_the_token_and_the_schemas() {
    let signer = Signer::es256();
    let caller = signer.sign(&token::claims());
    let many =
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stop":["a","b","c","d","e"]}"#;
    let messages = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    for (name, header, value, limit) in [
        ("openai", "authorization", format!("Bearer {UPSTREAM_TOKEN}"), "max_completion_tokens"),
        ("azure", "api-key", UPSTREAM_TOKEN.to_owned(), "max_completion_tokens"),
        ("anthropic", "x-api-key", UPSTREAM_TOKEN.to_owned(), "max_tokens"),
        ("compatible", "authorization", format!("Bearer {UPSTREAM_TOKEN}"), "max_tokens"),
    ] {
        let folder = Folder::new(&format!("profile-{name}"));
        let mut stub = Stub::start().await;
        let flags = ["--profile", name, "--max-tokens", "9", "--schema", "builtin"];
        let gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
        // Clients authenticate with bearer, whatever the upstream wants.
        for (path, limit) in [(CHAT_PATH, limit), ("/v1/messages", "max_tokens")] {
            let request = post(path, &caller, messages);
            // OpenAI has no messages, so its token is not sent there.
            if path != CHAT_PATH && matches!(name, "openai" | "azure") {
                let refused = send(gateway.address, request).await;
                assert_eq!(slug(refused, StatusCode::NOT_FOUND).await, "not-found", "{name}");
                continue;
            }
            let (answer, seen) = tokio::join!(send(gateway.address, request), async {
                let mut seen = stub.seen().await;
                seen.answer("ok").await;
                seen
            });
            assert_eq!(answer.status(), StatusCode::OK, "{name} {path}");
            assert_eq!(seen.headers[header], value, "{name}");
            let bearer = seen.headers.contains_key("authorization");
            assert_eq!(bearer, header == "authorization", "{name}");
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(body[limit], 9, "{name} {path}");
        }
        if matches!(name, "openai" | "azure") {
            let found = violations(&gateway, &mut stub, &caller, (CHAT_PATH, many)).await;
            assert_eq!(found, ["/stop"], "{name}");
        } else {
            sent_on(&gateway, &mut stub, &caller, (CHAT_PATH, many)).await;
        }
    }
}

#[tokio::test]
async fn a_bound_is_lifted_by_its_name() {
    let signer = Signer::es256();
    let caller = signer.sign(&token::claims());
    let many =
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stop":["a","b","c","d","e"]}"#;
    let folder = Folder::new("lifted");
    let mut stub = Stub::start().await;
    let flags = ["--profile", "openai", "--schema", "builtin", "--without-bound", "stop"];
    let gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
    assert_eq!(sent_on(&gateway, &mut stub, &caller, (CHAT_PATH, many)).await, many);

    let output = run(["--schema", "builtin", "--without-bound", "stops"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--without-bound: no built-in schema"), "{said}");
}

#[tokio::test]
async fn a_schema_of_ones_own_is_for_chat_completions() {
    let folder = Folder::new("schema-file");
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": { "temperature": { "maximum": 1, "exclusiveMaximum": true } },
    });
    let file = folder.write("schema.json", &schema.to_string());
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, ["--schema", &file]).await;
    let caller = signer.sign(&token::claims());

    let hot = r#"{"model":"demo","temperature":1}"#;
    let found = violations(&gateway, &mut stub, &caller, (CHAT_PATH, hot)).await;
    assert_eq!(found, ["/temperature"]);
    for good in [(CHAT_PATH, r#"{"temperature":0.9}"#), ("/v1/embeddings", hot)] {
        assert_eq!(sent_on(&gateway, &mut stub, &caller, good).await, good.1);
    }
}

#[tokio::test]
async fn answers_are_cut_to_a_length_and_nothing_else_is_touched() {
    let folder = Folder::new("max-tokens");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, ["--max-tokens", "100"]).await;
    let caller = signer.sign(&token::claims());
    for (path, came, went) in [
        (
            CHAT_PATH,
            r#"{ "max_tokens" : 5000, "seed":1e2 }"#,
            r#"{ "max_tokens" : 100, "seed":1e2 }"#,
        ),
        (CHAT_PATH, r#"{"max_completion_tokens":101}"#, r#"{"max_tokens":100}"#),
        (CHAT_PATH, r#"{ "max_tokens" : 99 }"#, r#"{ "max_tokens" : 99 }"#),
        ("/v1/completions", r#"{"max_tokens":1000}"#, r#"{"max_tokens":100}"#),
        (
            "/v1/responses",
            r#"{"input":"a","max_output_tokens":1000}"#,
            r#"{"input":"a","max_output_tokens":100}"#,
        ),
        (
            "/generate",
            r#"{"inputs":"a","parameters":{"max_new_tokens":1000}}"#,
            r#"{"inputs":"a","parameters":{"max_new_tokens":100}}"#,
        ),
        ("/v1/embeddings", r#"{"max_tokens":5000}"#, r#"{"max_tokens":5000}"#),
    ] {
        assert_eq!(sent_on(&gateway, &mut stub, &caller, (path, came)).await, went);
    }
    for (path, came, pointer) in [
        (CHAT_PATH, CHAT, "/max_tokens"),
        ("/v1/completions", r#"{"prompt":"a"}"#, "/max_tokens"),
        ("/v1/responses", r#"{"input":"a"}"#, "/max_output_tokens"),
        ("/generate", r#"{"inputs":"a"}"#, "/parameters/max_new_tokens"),
    ] {
        let went = sent_on(&gateway, &mut stub, &caller, (path, came)).await;
        let went: Value = serde_json::from_str(&went).unwrap();
        assert_eq!(went.pointer(pointer), Some(&json!(100)), "{path} {went}");
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_named() {
    let folder = Folder::new("schema-wrong");
    let illegal = folder.write("illegal.json", r#"{"type":"strnig"}"#);
    let broken = folder.write("broken.json", "{");
    for file in [&illegal, &broken, "no-such-file.json"] {
        let output = run(["--schema", file, "--listen", "127.0.0.1:0"]).await;
        assert_eq!(output.status.code(), Some(1), "{file}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("gateway: --schema {file}: ")), "{said}");
    }
}
