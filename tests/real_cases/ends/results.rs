//! Results of each route, and what is none although its status is 200.

use tower_inference::context::StreamEnd;

use super::{tables::Routed, *};

/// Returns a request to a route, with a limit of two tokens where the route generates.
fn request(path: &str) -> &'static str {
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
async fn stored(path: &str, body: &str, media_type: &str, text: &str) -> (bool, Option<StreamEnd>) {
    let length = text.len().to_string();
    let response = UpstreamResponse::of(media_type, [text]).header("content-length", &length);
    let (stored, logged) = Gateway::new().twice(path, body, &response).await;
    (stored, logged.end)
}

/// Responses without the result that their route asks for.
const NO_RESULTS: &[Routed] = &[
    // The result of another route, or a name of one beside a failure.
    (
        "a limit of tokens",
        "gateways",
        CHAT,
        JSON,
        r#"{"message":"rate limit exceeded","tokens":120000,"limit":100000}"#,
    ),
    ("a detail", "FastAPI", CHAT, JSON, r#"{"detail":"model overloaded","prompt":"hi"}"#),
    (
        "a length",
        "vLLM",
        CHAT,
        JSON,
        r#"{"message":"context too long","input_tokens":5000,"max":4096}"#,
    ),
    ("text of a proxy", "proxies", CHAT, JSON, r#"{"text":"Service Unavailable"}"#),
    ("text of a proxy", "proxies", "/v1/embeddings", JSON, r#"{"text":"Service Unavailable"}"#),
    ("strings", "PyTorch", CHAT, JSON, r#"["CUDA error: out of memory"]"#),
    ("strings in arrays", "PyTorch", CHAT, JSON, r#"[["error"]]"#),
    ("strings for vectors", "PyTorch", "/embed", JSON, r#"["CUDA error: out of memory"]"#),
    ("an exception", "Java", CHAT, JSON, r#"{"exception":"Traceback","score":0}"#),
    ("an exception", "Java", "/m", JSON, r#"{"exception":"Traceback","score":0}"#),
    ("a label", "toolkits", CHAT, JSON, r#"{"label":"error"}"#),
    ("a label", "toolkits", "/predict", JSON, r#"{"label":"error"}"#),
    ("an envelope", "SiliconFlow", CHAT, JSON, r#"{"code":50001,"message":"blocked","data":[""]}"#),
    (
        "an envelope",
        "SiliconFlow",
        "/v1/embeddings",
        JSON,
        r#"{"code":50001,"message":"blocked","data":[""]}"#,
    ),
    ("a prediction of no result", "KServe", CHAT, JSON, r#"{"predictions":[{"detail":"oom"}]}"#),
    (
        "a prediction of no result",
        "KServe",
        "/vertex",
        JSON,
        r#"{"predictions":[{"detail":"oom"}]}"#,
    ),
    ("predictions, one missing", "KServe", "/vertex", JSON, r#"{"predictions":["ok",null]}"#),
    ("outputs", "gateways", "/", JSON, r#"{"outputs":["error"]}"#),
    (
        "another route's result",
        "proxies",
        "/v1/embeddings",
        JSON,
        r#"{"choices":[{"text":"a","finish_reason":"stop"}]}"#,
    ),
    ("another route's result", "proxies", CHAT, JSON, "[[0.1]]"),
    (
        "another route's result",
        "proxies",
        "/v1/messages",
        JSON,
        r#"{"choices":[{"text":"a","finish_reason":"stop"}]}"#,
    ),
    ("another route's result", "proxies", "/rerank", JSON, "[[0.1]]"),
    (
        "a message of no type",
        "proxies",
        "/v1/messages",
        JSON,
        r#"{"content":[],"stop_reason":"end_turn"}"#,
    ),
    // A failure beside a result, and results of nothing.
    (
        "a code beside choices",
        "engines",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"code":500,"message":"engine died"}"#,
    ),
    (
        "a code beside choices",
        "engines",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"code":500}"#,
    ),
    ("an empty choice", "engines", CHAT, JSON, r#"{"choices":[{}]}"#),
    (
        "an empty message",
        "engines",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{},"finish_reason":"stop"}]}"#,
    ),
    (
        "a choice without content",
        "engines",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"role":"assistant","content":null}}]}"#,
    ),
    (
        "a rejected one",
        "batches",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"status":"rejected"}"#,
    ),
    (
        "an expired one",
        "batches",
        CHAT,
        JSON,
        r#"{"status":"expired","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
    ),
    (
        "an unknown status",
        "batches",
        CHAT,
        JSON,
        r#"{"status":"odd","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
    ),
    (
        "a failed message",
        "agents",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a","status":"failed"},"finish_reason":"stop"}]}"#,
    ),
    (
        "an error in a choice",
        "OpenRouter",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop","err":{"code":500}}]}"#,
    ),
    ("success of nothing", "envelopes", CHAT, JSON, r#"{"success":true,"output":""}"#),
    ("success of nothing", "envelopes", "/", JSON, r#"{"success":true,"output":""}"#),
    ("a failed state", "envelopes", "/m", JSON, r#"{"state":"FAILED","text":"a"}"#),
    (
        "no output",
        "OpenAI's responses",
        "/v1/responses",
        JSON,
        r#"{"status":"completed","output":[]}"#,
    ),
    (
        "a failed message",
        "OpenAI's responses",
        "/v1/responses",
        JSON,
        r#"{"status":"completed","output":[{"type":"message","status":"failed","content":[{"type":"output_text","text":"a"}]}]}"#,
    ),
    (
        "a cut message",
        "OpenAI's responses",
        "/v1/responses",
        JSON,
        r#"{"status":"completed","output":[{"status":"incomplete","type":"message","content":[{"type":"output_text","text":"a"}]}]}"#,
    ),
    (
        "one choice did not end",
        "n of 2",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"}}]}"#,
    ),
    (
        "an engine's failure",
        "finish reasons",
        CHAT,
        JSON,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"engine_error"}]}"#,
    ),
    (
        "a code of WeChat",
        "errcode",
        "/m",
        JSON,
        r#"{"errcode":-1,"errmsg":"system busy","text":"a"}"#,
    ),
    // A part of a batch.
    ("null for numbers", "NaN", "/embed", JSON, "[[null,null]]"),
    ("no numbers", "TEI", "/embed", JSON, "[]"),
    ("one missing", "TEI", "/embed", JSON, "[[0.1],null]"),
    ("one empty", "TEI", "/embed", JSON, "[[0.1],[]]"),
    (
        "null for numbers",
        "NaN",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":[null,null]}]}"#,
    ),
    ("an empty vector", "vLLM", "/v1/embeddings", JSON, r#"{"data":[{"index":0,"embedding":[]}]}"#),
    (
        "a failed item",
        "gateways",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":[0.1]},{"index":1,"message":"failed","code":500}]}"#,
    ),
    (
        "a missing item",
        "gateways",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":[0.1]},null]}"#,
    ),
    (
        "a word for a vector",
        "base64",
        "/v1/embeddings",
        JSON,
        r#"{"data":[{"index":0,"embedding":"error"}]}"#,
    ),
    ("no types", "Cohere", "/v1/embeddings", JSON, r#"{"embeddings":{}}"#),
    (
        "a score of null",
        "NaN",
        "/rerank",
        JSON,
        r#"{"results":[{"index":0,"relevance_score":null}]}"#,
    ),
    (
        "a failed item",
        "gateways",
        "/rerank",
        JSON,
        r#"{"results":[{"index":0,"relevance_score":0.9},{"index":1,"status":"failed","reason":"oom"}]}"#,
    ),
    ("no ranks", "gateways", "/rerank", JSON, r#"{"results":[]}"#),
    ("one missing", "TGI", "/", JSON, r#"[{"generated_text":"ok"},null]"#),
    (
        "one failed",
        "TGI",
        "/",
        JSON,
        r#"[{"generated_text":"ok"},{"status":"failed","reason":"oom"}]"#,
    ),
    ("an empty text", "TGI", "/generate", JSON, r#"{"generated_text":""}"#),
    ("an empty class", "TEI", "/predict", JSON, "[[]]"),
    // No image and no sound.
    ("plain text", "Envoy", IMAGES, "text/plain", "upstream connect error"),
    ("XML", "S3", IMAGES, "application/xml", "<?xml version=\"1.0\"?><Error/>"),
    ("a comment and a page", "nginx", IMAGES, "text/plain", "<!-- x --><html>502"),
    ("a head", "nginx", SPEECH, "text/plain", "<head><title>502</title></head>"),
    ("bytes", "proxies", SPEECH, "application/octet-stream", "{\"error\":\"x\"}"),
    ("an error as sound", "gateways", SPEECH, "audio/mpeg", " {\"error\":{\"message\":\"x\"}}"),
    ("an error as an image", "gateways", IMAGES, "image/png", "{\"error\":{\"message\":\"x\"}}"),
    ("a page as an image", "gateways", IMAGES, "image/png", "\n<html>"),
    (
        "an envelope",
        "SiliconFlow",
        IMAGES,
        JSON,
        r#"{"code":50603,"message":"System is too busy now.","data":null}"#,
    ),
    ("no data", "OpenAI", IMAGES, JSON, r#"{"created":1,"data":[]}"#),
    (
        "a filtered image",
        "Stability",
        IMAGES,
        JSON,
        r#"{"data":[{"b64_json":"","finish_reason":"CONTENT_FILTERED"}]}"#,
    ),
    (
        "a model that loads",
        "Hugging Face",
        IMAGES,
        JSON,
        r#"{"message":"Model is loading","estimated_time":20}"#,
    ),
    ("JSON for sound", "gateways", SPEECH, JSON, r#"{"detail":"blocked","audio":""}"#),
    ("an image for a chat", "proxies", CHAT, "image/png", "\u{89}PNG"),
    ("an image for a vector", "proxies", "/v1/embeddings", "image/png", "\u{89}PNG"),
];

const IMAGES: &str = "/v1/images/generations";
const SPEECH: &str = "/v1/audio/speech";

#[tokio::test]
async fn a_response_without_the_result_of_its_route_is_not_stored() {
    for (sender, source, path, media_type, body) in NO_RESULTS {
        let (stored, _) = stored(path, request(path), media_type, body).await;
        assert!(!stored, "{sender} ({source}) at {path}: {body}");
    }
}

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

const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// Events that no stream has which succeeds: sender, event, and whether the stream has failed.
const DOUBTFUL: &[(&str, &str, bool)] = &[
    ("Python's form", "data: {'error': {'message': 'CUDA out of memory'}}", false),
    ("JavaScript's form", "data: {error: 'boom'}", false),
    ("text in braces", "data: {backend died}", false),
    ("a page in braces", "data: {<html>}", false),
    ("text", "data: Internal Server Error", false),
    ("text in brackets", "data: [ERROR] backend", false),
    ("a string", "data: \"Internal Server Error\"", false),
    ("a number", "data: 500", false),
    ("cut after a delta", r#"data: {"choices":[{"index":0,"delta":{"content":"x"}}"#, false),
    (
        "cut after a choice",
        r#"data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}"#,
        false,
    ),
    ("cut in a string", r#"data: {"choices":[{"index":0,"delta":{"content":"{x}"#, false),
    ("two documents", r#"data: {"a":1}{"b":"x"}"#, false),
    ("an unknown event", r#"data: {"reason":"oom"}"#, false),
    ("an unknown type", r#"data: {"type":"odd"}"#, false),
    ("a code and a message", r#"data: {"code":500,"message":"died","node":"n1"}"#, true),
    ("a code beside choices", r#"data: {"choices":[],"code":500,"message":"died"}"#, true),
    ("a short name", r#"data: {"err":"boom"}"#, true),
    ("an exception", r#"data: {"exception":"boom"}"#, true),
    ("a state", r#"data: {"state":"error","reason":"oom"}"#, true),
    ("a status", r#"data: {"status":"failed","reason":"oom","x":1}"#, true),
    ("a status beside choices", r#"data: {"choices":[],"status":"rejected"}"#, true),
    ("a type of abort", r#"data: {"type":"abort","reason":"x"}"#, true),
    ("a type of timeout", r#"data: {"type":"timeout"}"#, true),
    ("a type with a prefix", r#"data: {"type":"response.error","code":"x"}"#, true),
    ("an event of abort", "event: abort\ndata: {\"reason\":\"x\"}", true),
    ("an event of failure", "event: failure\ndata: {\"reason\":\"x\"}", true),
    ("an event of timeout", "event: timeout\ndata: {\"reason\":\"x\"}", true),
    ("a field of exceptions", "exception: backend died", true),
    ("a field of failures", "fail: backend died", true),
    ("a field of timeouts", "timeout: backend died", true),
    ("an unknown field", "message: backend died", false),
    (
        "a server's failure",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"server_error"}]}"#,
        true,
    ),
    (
        "an engine's failure",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"engine_error"}]}"#,
        true,
    ),
    ("text in the root", r#"data: {"text":"Service Unavailable"}"#, false),
];

#[tokio::test]
async fn a_stream_with_an_event_of_no_known_form_is_not_stored() {
    let body = streamed();
    for (sender, event, failed) in DOUBTFUL {
        for stream in [
            format!("data: {TEXT}\n\n{event}\n\ndata: {LAST}\n\ndata: [DONE]\n\n"),
            format!("data: {TEXT}\n\ndata: {LAST}\n\n{event}\n\ndata: [DONE]\n\n"),
        ] {
            let (stored, end) = stored(CHAT, &body, EVENTS, &stream).await;
            let expected = if *failed { StreamEnd::Failed } else { StreamEnd::Done };
            assert_eq!((stored, end), (false, Some(expected)), "{sender}: {stream}");
        }
        // The end mark alone is no success.
        let alone = format!("{event}\n\ndata: [DONE]\n\n");
        let (stored, end) = stored(CHAT, &body, EVENTS, &alone).await;
        assert!(!stored, "{sender}");
        let brought_text = event.contains("content") || event.contains("text");
        assert!(brought_text || end == Some(StreamEnd::Failed), "{sender}: {end:?}");
    }
}

/// Events beside the text of a stream that succeeds.
#[tokio::test]
async fn a_stream_with_events_beside_its_text_is_stored() {
    for event in [
        "event: ping\ndata: {}",
        "event: ping\ndata: {\"time\":1}",
        "data: {}",
        "data:",
        "data: {\"type\": \"ping\"}",
        ": HTTP_STATUS/200",
        "id: 1\nretry: 100\nevent: message\ndata: {\"choices\":[]}",
        r#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"{\"error\":\"x\"} [}"},"finish_reason":null}],"usage":null}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","bytes":[97],"top_logprobs":[]}]},"finish_reason":null}]}"#,
        r#"data: {"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"error":"x"}}}]},"finish_reason":null}]}"#,
    ] {
        let stream = format!("data: {TEXT}\n\n{event}\n\ndata: {LAST}\n\ndata: [DONE]\n\n");
        let end = Some(StreamEnd::Done);
        assert_eq!(stored(CHAT, &streamed(), EVENTS, &stream).await, (true, end), "{event}");
    }
}

#[tokio::test]
async fn a_stream_without_the_result_of_its_route_is_not_stored() {
    let chat = format!("data: {TEXT}\n\ndata: {LAST}\n\ndata: [DONE]\n\n");
    for (path, stores) in [(CHAT, true), ("/", true), ("/v1/embeddings", false), (IMAGES, false)] {
        assert_eq!(stored(path, request(path), EVENTS, &chat).await.0, stores, "{path}");
    }
    let text = "data: {\"text\":\"Service Unavailable\"}\n\ndata: [DONE]\n\n";
    for (path, stores) in [(CHAT, false), ("/v1/responses", false), ("/generate", true)] {
        assert_eq!(stored(path, request(path), EVENTS, text).await.0, stores, "{path}");
    }
    // TGI ends its tokens with the whole text.
    let cut = "data:{\"token\":{\"text\":\"a\"},\"generated_text\":null}\n\ndata: [DONE]\n\n";
    let path = "/generate_stream";
    assert!(!stored(path, request(path), EVENTS, cut).await.0);
    // A message of OpenAI's responses failed although the response was completed.
    let completed = |status: &str| {
        format!(
            "data: {{\"type\":\"response.completed\",\"response\":{{\"status\":\"completed\",\"output\":[{{\"type\":\"message\",\"status\":\"{status}\"}}]}}}}\n\n"
        )
    };
    for (status, stores) in [("completed", true), ("failed", false), ("incomplete", false)] {
        let path = "/v1/responses";
        let (stored, _) = stored(path, request(path), EVENTS, &completed(status)).await;
        assert_eq!(stored, stores, "{status}");
    }
}
