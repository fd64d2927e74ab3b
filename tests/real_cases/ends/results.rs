//! Results of each route.

use tower_inference::context::StreamEnd;

use super::{tables::Routed, *};

/// Returns a request to a route, with a limit of two tokens where the route generates.
pub(super) fn request(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap() {
        "embeddings" => r#"{"model":"m","input":"a"}"#,
        "embed" | "predict" => r#"{"inputs":"a"}"#,
        "rerank" => r#"{"query":"a","texts":["a","b"]}"#,
        "responses" => r#"{"model":"m","input":"a","max_output_tokens":2}"#,
        "completions" | "completion" => r#"{"model":"m","prompt":"a","max_tokens":2}"#,
        "generate" | "generate_stream" | "" | "m" | "invocations" => {
            r#"{"inputs":"a","parameters":{"max_new_tokens":2}}"#
        }
        "vertex" => r#"{"instances":[{"inputs":"a","parameters":{"max_new_tokens":2}}]}"#,
        _ => r#"{"model":"m","max_tokens":2,"messages":[{"role":"user","content":"a"}]}"#,
    }
}

/// Returns the response with its length, whether it was stored and how its stream ended.
pub(super) async fn stored(
    path: &str,
    body: &str,
    media_type: &str,
    text: &str,
) -> (bool, Option<StreamEnd>) {
    let length = text.len().to_string();
    let response = UpstreamResponse::of(media_type, [text]).header("content-length", &length);
    let (stored, logged) = Gateway::new().twice(path, body, &response).await;
    (stored, logged.end)
}

pub(super) const IMAGES: &str = "/v1/images/generations";
pub(super) const SPEECH: &str = "/v1/audio/speech";

/// Results by their routes.
const RESULTS: &[Routed] = &[
    (
        "tool calls",
        "OpenAI",
        CHAT,
        JSON,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"error\":1}"}}]},"finish_reason":"tool_calls"}]}"#,
    ),
    (
        "a refusal",
        "OpenAI",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}"#,
    ),
    (
        "reasoning alone",
        "vLLM",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":null,"reasoning_content":"x"},"finish_reason":"stop"}]}"#,
    ),
    (
        "an empty text that ended",
        "OpenAI",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#,
    ),
    (
        "a warning",
        "gateways",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"warning":"deprecated","message":"ok"}"#,
    ),
    (
        "an envelope of success",
        "SiliconFlow",
        CHAT,
        JSON,
        r#"{"code":20000,"message":"Ok","status":true,"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
    ),
    (
        "no errors",
        "gateways",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"error":null,"errors":[],"error_code":0,"err":null,"status":"success"}"#,
    ),
    (
        "two choices",
        "OpenAI",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},"finish_reason":"stop"}]}"#,
    ),
    (
        "a completion",
        "OpenAI",
        "/v1/completions",
        JSON,
        r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#,
    ),
    (
        "a completion",
        "llama.cpp",
        "/completion",
        JSON,
        r#"{"content":"a","stop":true,"stop_type":"eos","truncated":false}"#,
    ),
    (
        "a function call",
        "OpenAI's responses",
        "/v1/responses",
        JSON,
        r#"{"status":"completed","error":null,"output":[{"type":"reasoning","summary":[]},{"type":"function_call","status":"completed","name":"f","arguments":"{}"}]}"#,
    ),
    (
        "a failed tool beside a message",
        "OpenAI's responses",
        "/v1/responses",
        JSON,
        r#"{"status":"completed","output":[{"type":"code_interpreter_call","status":"failed"},{"type":"message","status":"completed","content":[{"type":"output_text","text":"a"}]}]}"#,
    ),
    (
        "a turn without text",
        "Anthropic",
        "/v1/messages",
        JSON,
        r#"{"type":"message","content":[],"stop_reason":"end_turn"}"#,
    ),
    (
        "a tool that failed",
        "Anthropic",
        "/v1/messages",
        JSON,
        r#"{"type":"message","content":[{"type":"web_search_tool_result","content":{"type":"web_search_tool_result_error","error_code":"unavailable"}},{"type":"text","text":"x"}],"stop_reason":"end_turn"}"#,
    ),
    (
        "TGI",
        "router/src/lib.rs",
        "/generate",
        JSON,
        r#"{"generated_text":"","details":{"finish_reason":"eos_token","generated_tokens":1}}"#,
    ),
    ("TGI without details", "the same", "/", JSON, r#"[{"generated_text":"a"}]"#),
    ("TGI on Vertex", "router/src/vertex.rs", "/vertex", JSON, r#"{"predictions":["a"]}"#),
    (
        "SGLang",
        "meta_info",
        "/generate",
        JSON,
        r#"{"text":"","meta_info":{"finish_reason":{"type":"stop"}}}"#,
    ),
    (
        "SGLang's tokens",
        "skip_tokenizer_init",
        "/generate",
        JSON,
        r#"{"output_ids":[1],"meta_info":{"finish_reason":{"type":"stop"}}}"#,
    ),
    ("vLLM's demo", "api_server.py", "/generate", JSON, r#"{"text":["a b"]}"#),
    (
        "Ollama",
        "docs/api.md",
        "/api/generate",
        JSON,
        r#"{"model":"m","response":"a","done":true,"done_reason":"stop"}"#,
    ),
    (
        "base64",
        "OpenAI",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":"AACAPw=="}]}"#,
    ),
    (
        "types",
        "Jina",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":{"float":[0.1]}}]}"#,
    ),
    (
        "several vectors",
        "Jina",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embeddings":[[0.1]]}]}"#,
    ),
    (
        "types",
        "Cohere",
        "/v1/embed",
        JSON,
        r#"{"embeddings":{"float":[[0.1]],"base64":["AACAPw=="]},"texts":["a"]}"#,
    ),
    ("a list", "Ollama", "/api/embed", JSON, r#"{"embeddings":[[0.1]],"model":"m"}"#),
    ("one vector", "Ollama", "/v1/embeddings", JSON, r#"{"embedding":[0.1]}"#),
    (
        "llama.cpp",
        "tools/server/README.md",
        "/embeddings",
        JSON,
        r#"[{"index":0,"embedding":[[0.1,0.2]]}]"#,
    ),
    ("sparse", "TEI", "/embed_sparse", JSON, r#"[[{"index":1,"value":0.1}]]"#),
    ("all tokens", "TEI", "/embed_all", JSON, "[[[0.1,0.2]]]"),
    ("features", "Hugging Face", "/models/m/pipeline/feature-extraction", JSON, "[0.1,0.2]"),
    ("similarities", "TEI", "/similarity", JSON, "[0.9]"),
    ("ranks", "TEI", "/rerank", JSON, r#"[{"index":0,"score":0.9}]"#),
    (
        "ranks",
        "Jina, Cohere, vLLM",
        "/v1/rerank",
        JSON,
        r#"{"results":[{"index":0,"relevance_score":0.9,"document":{"text":"a"}}]}"#,
    ),
    ("ranks", "Voyage", "/v1/rerank", JSON, r#"{"data":[{"relevance_score":0.4,"index":0}]}"#),
    ("scores", "vLLM", "/v1/score", JSON, r#"{"data":[{"index":0,"object":"score","score":0.9}]}"#),
    ("classes", "vLLM", "/classify", JSON, r#"{"data":[{"index":0,"label":"A","probs":[0.9]}]}"#),
    ("a pool", "vLLM", "/pooling", JSON, r#"{"data":[{"index":0,"data":[[0.1]]}]}"#),
    ("classes", "TEI", "/predict", JSON, r#"[[{"score":0.9,"label":"A"}]]"#),
    (
        "flags",
        "OpenAI",
        "/v1/moderations",
        JSON,
        r#"{"results":[{"flagged":false,"categories":{"hate":false}}]}"#,
    ),
    ("tokens", "TGI", "/tokenize", JSON, r#"[{"id":1,"text":"a","start":0,"stop":1}]"#),
    ("tokens", "TEI", "/tokenize", JSON, r#"[[{"id":101,"text":"[CLS]","special":true}]]"#),
    ("tokens", "vLLM", "/tokenize", JSON, r#"{"count":1,"max_model_len":100,"tokens":[1]}"#),
    (
        "tokens",
        "TGI",
        "/chat_tokenize",
        JSON,
        r#"{"tokenize_response":[{"id":1,"text":"a"}],"templated_text":"x"}"#,
    ),
    ("a count", "Anthropic", "/v1/messages/count_tokens", JSON, r#"{"input_tokens":12}"#),
    (
        "a count",
        "OpenAI",
        "/v1/responses/input_tokens",
        JSON,
        r#"{"object":"response.input_tokens","input_tokens":11}"#,
    ),
    ("text", "vLLM", "/detokenize", JSON, r#"{"prompt":"hello"}"#),
    ("texts", "TEI", "/decode", JSON, r#"["hello"]"#),
    (
        "a recording",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"{"text":"hello","chunks":[{"timestamp":[0,1],"text":"hello"}]}"#,
    ),
    ("a silent recording", "Hugging Face", "/models/m", JSON, r#"{"text":""}"#),
    ("a summary", "Hugging Face", "/models/m", JSON, r#"[{"summary_text":"x"}]"#),
    (
        "entities",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"[{"entity_group":"PER","score":0.9,"word":"x"}]"#,
    ),
    (
        "labels",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"{"sequence":"x","labels":["a"],"scores":[0.9]}"#,
    ),
    (
        "an answer",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"{"score":0.9,"start":0,"end":1,"answer":"x"}"#,
    ),
    (
        "an answer from a table",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"{"answer":"x","coordinates":[[0,0]],"cells":["x"]}"#,
    ),
    (
        "segments",
        "Hugging Face",
        "/models/m",
        JSON,
        r#"[{"label":"a","score":null,"mask":"AAAA"}]"#,
    ),
    ("a table", "Hugging Face", "/models/m", JSON, r#"["1",2]"#),
    (
        "Gemini",
        "ai.google.dev/api",
        "/v1beta/models/g:generateContent",
        JSON,
        r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#,
    ),
    ("an image", "Hugging Face", "/models/m", "image/png", "\u{89}PNG"),
    ("an image", "gateways", IMAGES, "image/png", "\u{89}PNG"),
    ("an image in JSON", "OpenAI", IMAGES, JSON, r#"{"created":1,"data":[{"b64_json":"AAAA"}]}"#),
    ("a link", "Together", IMAGES, JSON, r#"{"images":[{"url":"https://x"}]}"#),
    ("sound", "OpenAI", SPEECH, "audio/mpeg", "ID3xx"),
    ("a transcript", "OpenAI", "/v1/audio/transcriptions", JSON, r#"{"text":"a"}"#),
    ("any JSON on an unknown route", "", "/elsewhere", JSON, r#"{"foo":"bar"}"#),
];

#[tokio::test]
async fn the_result_of_a_route_is_stored() {
    for (sender, source, path, media_type, body) in RESULTS {
        let (stored, _) = stored(path, request(path), media_type, body).await;
        assert!(stored, "{sender} ({source}) at {path}: {body}");
    }
}

#[tokio::test]
async fn each_text_to_embed_needs_its_vector() {
    for (input, stores) in [(r#"["a","b"]"#, false), ("[1,2]", true), (r#"["a"]"#, true)] {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        let vectors = r#"{"data":[{"index":0,"embedding":[0.1]}]}"#;
        assert_eq!(stored("/v1/embeddings", &body, JSON, vectors).await.0, stores, "{input}");
        let body = body.replace("input", "inputs");
        assert_eq!(stored("/embed", &body, JSON, "[[0.1]]").await.0, stores, "{input}");
    }
}

/// A text that does not tell its end may have been cut by a limit of the server: by 100 tokens of TGI
/// or 16 of vLLM's demo server.
#[tokio::test]
async fn a_text_that_tells_no_end_is_stored_only_with_a_known_limit() {
    for (path, body) in [
        ("/generate", r#"{"generated_text":"a"}"#),
        ("/", r#"[{"generated_text":"a"}]"#),
        ("/models/m", r#"[{"generated_text":"a"}]"#),
        ("/vertex", r#"{"predictions":["a"]}"#),
        ("/generate", r#"{"text":["a"]}"#),
        ("/v1/completions", r#"{"choices":[{"text":"a"}]}"#),
        (CHAT, r#"{"choices":[{"message":{"content":"a"}}]}"#),
    ] {
        let limited = request(path);
        let unlimited = limited.replace("max_new_tokens", "x").replace("max_tokens", "x");
        assert!(stored(path, limited, JSON, body).await.0, "{path}: {body}");
        assert!(!stored(path, &unlimited, JSON, body).await.0, "{path}: {body}");
    }
    let stream = "data:{\"token\":{\"text\":\"a\"},\"generated_text\":\"a\"}\n\n";
    let path = "/generate_stream";
    let end = Some(StreamEnd::Done);
    assert_eq!(stored(path, request(path), EVENTS, stream).await, (true, end));
    assert_eq!(stored(path, r#"{"inputs":"a"}"#, EVENTS, stream).await, (false, end));
}

/// All results together must reach the limit of each.
#[tokio::test]
async fn a_limit_counts_for_each_result() {
    let choice = r#"{"text":"a","message":{"content":"a"},"finish_reason":"length"}"#;
    for (path, members, told, stores) in [
        (CHAT, r#""max_tokens":50"#, 50, true),
        (CHAT, r#""max_tokens":50"#, 49, false),
        (CHAT, r#""n":3,"max_tokens":50"#, 60, false),
        (CHAT, r#""n":3,"max_tokens":50"#, 150, true),
        (CHAT, r#""max_tokens":50,"max_completion_tokens":500"#, 60, false),
        (CHAT, r#""max_tokens":50,"max_completion_tokens":500"#, 500, true),
        ("/v1/completions", r#""prompt":["a","b","c"],"max_tokens":50"#, 60, false),
        ("/v1/completions", r#""prompt":["a","b","c"],"max_tokens":50"#, 150, true),
        ("/v1/completions", r#""prompt":[1,2,3],"max_tokens":50"#, 50, true),
        ("/v1/completions", r#""prompt":"a","best_of":2,"max_tokens":50"#, 60, false),
    ] {
        let body = format!(r#"{{"model":"m","messages":[],{members}}}"#);
        let usage = format!(r#""usage":{{"prompt_tokens":1,"completion_tokens":{told}}}"#);
        let plain = format!(r#"{{"choices":[{choice},{choice},{choice}],{usage}}}"#);
        assert_eq!(stored(path, &body, JSON, &plain).await.0, stores, "{members}, {told}");
        let stream = format!("data: {plain}\n\ndata: [DONE]\n\n");
        assert_eq!(stored(path, &body, EVENTS, &stream).await.0, stores, "{members}, {told}");
    }
}
