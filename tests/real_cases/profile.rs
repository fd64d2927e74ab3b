//! What each kind of upstream accepts and how its requests are edited.
//!
//! The parties and what each takes are a table in `tests/task_schemas/parties.rs`.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, Rate, Subject},
    model::{OutputLimit, Profile, StreamUsage},
    payload::{Payload, PayloadLayer},
    schema::{BuiltInError, BuiltInSchemas, SchemaLayer},
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
};

const CHAT: &str = "/v1/chat/completions";

/// What reached the upstream, and what the client was sent.
struct Outcome {
    arrived: Option<Bytes>,
    status: StatusCode,
    sent: Bytes,
}

impl Outcome {
    #[track_caller]
    fn arrived(&self) -> Value {
        serde_json::from_slice(self.arrived.as_ref().expect("it reached the upstream")).unwrap()
    }

    /// The message that clients show.
    fn message(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.sent).unwrap();
        problem["error"]["message"].as_str().unwrap().to_owned()
    }
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7"))
}

/// Sends a body through a payload layer and `layer` to a scripted upstream.
async fn send<L, S, R>(
    layer: L,
    path: &str,
    body: &str,
    upstream: impl Fn(&Value) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> Outcome
where
    L: Layer<Upstream, Service = S>,
    S: Service<Request<Payload>, Response = Response<R>, Error = Infallible> + Clone,
    R: http_body::Body<Data = Bytes, Error = Infallible>,
{
    let arrived = Arc::new(Mutex::new(None));
    let upstream = Upstream { arrived: Arc::clone(&arrived), answer: Arc::new(upstream) };
    let context = RequestContext::new();
    context.set_identity(identity());
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    let request = request.extension(context).body(Full::from(body.to_owned())).unwrap();
    let service = ServiceBuilder::new().layer(PayloadLayer::new()).layer(layer).service(upstream);
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let sent = body.collect().await.unwrap().to_bytes();
    let arrived = arrived.lock().unwrap().take();
    Outcome { arrived, status: head.status, sent }
}

type Answer = dyn Fn(&Value) -> Response<Full<Bytes>> + Send + Sync;

#[derive(Clone)]
struct Upstream {
    arrived: Arc<Mutex<Option<Bytes>>>,
    answer: Arc<Answer>,
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let body = request.body().bytes().cloned().expect("the payload layer buffers");
        let answer = (self.answer)(&serde_json::from_slice(&body).unwrap());
        *self.arrived.lock().unwrap() = Some(body);
        ready(Ok(answer))
    }
}

fn json_of(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::new(body.into())).unwrap()
}

fn fine(_: &Value) -> Response<Full<Bytes>> {
    json_of(200, r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#)
}

fn schemas(profile: Profile) -> SchemaLayer {
    SchemaLayer::built_in(&BuiltInSchemas::new(profile))
}

fn budget(profile: Profile) -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::per_identity(Rate::per_day(1_000_000))).profile(profile)
}

/// Passes, and arrives byte for byte.
#[track_caller]
fn assert_passes(outcome: &Outcome, body: &str) {
    assert_eq!(outcome.status, StatusCode::OK, "{body}");
    assert_eq!(outcome.arrived.as_ref().unwrap(), body);
}

/// Is refused, and the message names a place.
#[track_caller]
fn assert_refused(outcome: &Outcome, place: &str, body: &str) {
    assert_eq!(outcome.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert!(outcome.arrived.is_none());
    let message = outcome.message();
    assert!(message.starts_with(&format!("{place}: ")), "{message}");
}

// === what bodies are held to ===

#[tokio::test]
async fn tool_choice_object_auto() {
    for choice in [
        json!({"type": "auto"}),
        json!({"type": "none"}),
        json!({"type": "required"}),
        json!({"type": "any"}),
        json!("any"),
        json!({"type": "function", "name": "read_file"}),
    ] {
        let body = json!({
            "model": "m",
            "stream": true,
            "max_tokens": 4096,
            "temperature": 0.7,
            "messages": [{"role": "user", "content": "Say hi."}],
            "tools": [{"type": "function", "function": {
                "name": "read_file",
                "description": "reads a file",
                "parameters": {"type": "object", "properties": {"path": {"type": "string"}},
                    "required": ["path"]},
            }}],
            "tool_choice": choice,
        })
        .to_string();
        assert_passes(&send(schemas(Profile::compatible()), CHAT, &body, fine).await, &body);
        // OpenAI's own API knows none of them.
        let openai = send(schemas(Profile::openai()), CHAT, &body, fine).await;
        assert_refused(&openai, "/tool_choice", &body);
    }
}

#[tokio::test]
async fn stop_nine_sequences() {
    let stop = json!([
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        "<|endoftext|>",
        "<file_sep>",
        "```",
        "\n\n",
        "/src/",
        "#- coding: utf-8"
    ]);
    let chat = json!({"model": "m", "max_tokens": 64, "temperature": 0,
        "messages": [{"role": "user", "content": "Say hi."}], "stop": stop});
    let completion = json!({"model": "m", "prompt": "def f(", "stop": ["a", "b", "c", "d", "e"]});
    let lifted = BuiltInSchemas::new(Profile::openai()).without_bound("stop").unwrap();
    for (path, body) in [(CHAT, chat), ("/v1/completions", completion)] {
        let body = body.to_string();
        let openai = send(schemas(Profile::openai()), path, &body, fine).await;
        assert_refused(&openai, "/stop", &body);
        assert_passes(&send(schemas(Profile::compatible()), path, &body, fine).await, &body);
        assert_passes(&send(SchemaLayer::built_in(&lifted), path, &body, fine).await, &body);
    }
    // The other bounds stay, and so does the type.
    for (member, value) in [("n", json!(129)), ("stop", json!([5]))] {
        let body = json!({"messages": [{"role": "user", "content": "Hi"}], member: value});
        let outcome = send(SchemaLayer::built_in(&lifted), CHAT, &body.to_string(), fine).await;
        assert_eq!(outcome.status, StatusCode::UNPROCESSABLE_ENTITY, "{member}");
    }
    let BuiltInError::UnknownBound { member, known } =
        BuiltInSchemas::new(Profile::openai()).without_bound("stops").unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(member, "stops");
    assert!(known.contains(&"stop".to_owned()) && known.contains(&"top_logprobs".to_owned()));
}

#[tokio::test]
async fn assistant_null_content_without_calls() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "Start."},
        {"role": "assistant", "content": null},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "user", "content": "Go on."},
    ]})
    .to_string();
    for profile in [Profile::compatible(), Profile::openai()] {
        assert_passes(&send(schemas(profile), CHAT, &body, fine).await, &body);
    }
}

#[tokio::test]
async fn assistant_calls_without_content_key() {
    let body = json!({"model": "m", "temperature": 0.7, "messages": [
        {"role": "system", "content": "You calculate."},
        {"role": "user", "content": "Root of 101?"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "sqrt", "arguments": "{\"x\":\"101\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "10.05"},
        {"role": "assistant", "content": "About 10.05.", "tool_calls": null, "refusal": null,
            "function_call": null, "audio": null, "annotations": []},
        {"role": "user", "content": [{"type": "text", "text": "And of 2?"}]},
    ]})
    .to_string();
    for profile in [Profile::compatible(), Profile::openai()] {
        assert_passes(&send(schemas(profile), CHAT, &body, fine).await, &body);
    }
}

#[tokio::test]
async fn empty_tool_result() {
    for (content, openai_takes) in [
        (json!([]), false),
        (json!(null), false),
        (json!(""), true),
        (json!([{"type": "text", "text": ""}]), true),
    ] {
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "Delete the file."},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "rm", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": content},
        ]})
        .to_string();
        assert_passes(&send(schemas(Profile::compatible()), CHAT, &body, fine).await, &body);
        let openai = send(schemas(Profile::openai()), CHAT, &body, fine).await;
        if openai_takes {
            assert_passes(&openai, &body);
        } else {
            assert_refused(&openai, "/messages/2/content", &body);
        }
    }
}

#[tokio::test]
async fn embeddings_with_messages() {
    let (model, chat) = ("Qwen/Qwen3-VL-Embedding-8B", json!({"enable_thinking": false}));
    for (body, openai_takes) in [
        (
            json!({"model": model, "encoding_format": "float", "messages": [{"role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "text", "text": "Represent the image."},
            ]}]}),
            false,
        ),
        (
            json!({"model": model, "chat_template_kwargs": chat,
                "input": [{"role": "user", "content": "Represent this."}]}),
            false,
        ),
        (
            json!({"model": model,
                "input": [{"text": "a"}, {"image": "https://example.com/a.png"}]}),
            false,
        ),
        (json!({"model": model, "input": "a", "encoding_format": "bytes"}), false),
        (
            json!({"model": model, "input": "a", "input_type": "query", "truncate_prompt_tokens": 5}),
            true,
        ),
    ] {
        let body = body.to_string();
        let path = "/v1/embeddings";
        assert_passes(&send(schemas(Profile::compatible()), path, &body, fine).await, &body);
        let openai = send(schemas(Profile::openai()), path, &body, fine).await;
        assert_eq!(openai.status == StatusCode::OK, openai_takes, "{body}");
        // Nothing is generated, so no limit is put in.
        let limited = TransformLayer::new().max_output_tokens(4096).include_usage();
        assert_passes(&send(limited, path, &body, fine).await, &body);
        assert_passes(&send(budget(Profile::compatible()), path, &body, fine).await, &body);
    }
}

// === how requests are edited ===

#[tokio::test]
async fn max_tokens_put_into_reasoning_model() {
    let body = r#"{"model":"gpt-5-mini","messages":[{"role":"user","content":"Say hi."}]}"#;
    let reasoning = |body: &Value| match body.get("max_tokens") {
        Some(_) => {
            json_of(400, r#"{"error":{"param":"max_tokens","code":"unsupported_parameter"}}"#)
        }
        None => fine(body),
    };
    let chosen = Profile::compatible().output_limit(OutputLimit::MaxCompletionTokens);
    for profile in [Profile::openai(), Profile::azure_openai(), chosen] {
        let transform = TransformLayer::new().max_output_tokens(4096).profile(profile.clone());
        let edited = send(transform, CHAT, body, reasoning).await;
        let budgeted =
            send(budget(profile).default_output_limit(4096), CHAT, body, reasoning).await;
        for outcome in [edited, budgeted] {
            assert_eq!(outcome.status, StatusCode::OK);
            assert_eq!(outcome.arrived()["max_completion_tokens"], 4096);
        }
    }
    // The name is the profile's, whatever the model is called.
    let transform = TransformLayer::new().max_output_tokens(4096);
    let outcome = send(transform, CHAT, body, reasoning).await;
    assert_eq!(outcome.status, StatusCode::BAD_REQUEST);
    assert_eq!(outcome.arrived()["max_tokens"], 4096);
}

#[tokio::test]
async fn responses_with_stored_prompt_given_max_tokens() {
    let prompt = json!({"id": "pmpt_68b", "version": "2", "variables": {"city": "Ulm"}});
    let responses = |body: &Value| {
        let unknown =
            body.get("max_tokens").or_else(|| body.pointer("/stream_options/include_usage"));
        unknown.map_or_else(|| fine(body), |_| json_of(400, r#"{"error":{"message":"Unknown"}}"#))
    };
    for body in [
        json!({"model": "gpt-5", "stream": true, "prompt": prompt,
            "input": [{"role": "user", "content": "Weather?"}]}),
        json!({"model": "gpt-5", "stream": true, "prompt": prompt}),
        json!({"model": "gpt-5", "previous_response_id": "resp_1", "stream": true}),
        json!({"model": "gpt-5", "conversation": "conv_1"}),
        json!({"model": "gpt-5", "conversation": {"id": "conv_1"}, "input": "Weather?"}),
    ] {
        for profile in [Profile::openai(), Profile::compatible()] {
            let layers =
                (schemas(profile.clone()), budget(profile.clone()).default_output_limit(4096));
            let body = body.to_string();
            let judged = send(layers.0, "/v1/responses", &body, responses).await;
            assert_passes(&judged, &body);
            let transform = TransformLayer::new().max_output_tokens(4096).include_usage();
            let transform = transform.profile(profile);
            let edited = send(transform, "/v1/responses", &body, responses).await;
            let budgeted = send(layers.1, "/v1/responses", &body, responses).await;
            for outcome in [edited, budgeted] {
                assert_eq!(outcome.status, StatusCode::OK, "{body}");
                let arrived = outcome.arrived();
                assert_eq!(arrived["max_output_tokens"], 4096);
                assert!(arrived.get("max_tokens").is_none(), "{arrived}");
                assert!(arrived.get("stream_options").is_none(), "{arrived}");
            }
        }
    }
}

#[tokio::test]
async fn mistral_refuses_stream_options() {
    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],",
        "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n",
        "data: [DONE]\n\n",
    );
    let body = r#"{"model":"mistral-large-latest","stream":true,"messages":[{"role":"user","content":"Say hi."}]}"#;
    let mistral = |body: &Value| match body.get("stream_options") {
        Some(_) => json_of(422, r#"{"object":"error","type":"invalid_request_error"}"#),
        None => {
            let stream = Response::builder().header(CONTENT_TYPE, "text/event-stream");
            stream.body(Full::from(STREAM)).unwrap()
        }
    };
    let chosen = Profile::compatible().stream_usage(StreamUsage::Unrequested);
    for profile in [Profile::mistral(), chosen] {
        let transform = TransformLayer::new().include_usage().profile(profile.clone());
        let asked = send(transform, CHAT, body, mistral).await;
        assert_passes(&asked, body);
        assert_eq!(asked.sent, STREAM);

        let budget = budget(profile);
        let budgeted = send(budget.clone(), CHAT, body, mistral).await;
        assert_eq!(budgeted.status, StatusCode::OK);
        assert_eq!(budgeted.sent, STREAM, "nothing is hidden: nothing was asked for");
        assert_eq!(budgeted.arrived()["max_tokens"], 1_024);
        // Settled to what the last chunk told.
        let subject = Subject::identity(&identity().principal());
        let state = budget.limit_state("identity", &subject).await.unwrap();
        assert_eq!(state.remaining, 1_000_000 - 10);
    }
    let outcome = send(budget(Profile::compatible()), CHAT, body, mistral).await;
    assert_eq!(outcome.status, StatusCode::UNPROCESSABLE_ENTITY, "the default asks");
}
