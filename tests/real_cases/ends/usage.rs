//! Usage that servers report, and `vary` that they send.

use tower_inference::context::StreamEnd;

use super::*;

/// Sender, source, media type, body and its usage.
type Usage = (&'static str, &'static str, &'static str, &'static str, Tokens);

const USAGE: &[Usage] = &[
    (
        "Anthropic",
        "platform.claude.com/docs, prompt caching",
        JSON,
        r#"{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":7}}"#,
        (Some(1105), Some(7), None),
    ),
    (
        "Anthropic, streamed: cumulative",
        "the same, streaming",
        EVENTS,
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":1000,\"output_tokens\":1}}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":4}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        (Some(1005), Some(7), None),
    ),
    (
        "Anthropic, streamed: all of it again",
        "the same",
        EVENTS,
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":1000,\"output_tokens\":1}}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":6,\"cache_read_input_tokens\":1000,\"output_tokens\":7}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        (Some(1006), Some(7), None),
    ),
    (
        "LiteLLM: both namings",
        "litellm/types/utils.py",
        JSON,
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"cache_read_input_tokens":4}}"#,
        (Some(9), Some(2), Some(11)),
    ),
    (
        "OpenAI's responses",
        "platform.openai.com/docs/api-reference/responses",
        JSON,
        r#"{"object":"response","status":"completed","usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":9},"output_tokens":87,"total_tokens":123}}"#,
        (Some(36), Some(87), Some(123)),
    ),
    (
        "OpenAI's responses, streamed",
        "the same",
        EVENTS,
        "data: {\"type\":\"response.incomplete\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"total_tokens\":7}}}\n\n",
        (Some(3), Some(4), Some(7)),
    ),
    (
        "Groq",
        "console.groq.com/docs, x_groq",
        EVENTS,
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":8,\"completion_tokens\":2,\"total_tokens\":10}}}\n\ndata: [DONE]\n\n",
        (Some(8), Some(2), Some(10)),
    ),
    (
        "Cohere",
        "docs.cohere.com/reference/chat",
        JSON,
        r#"{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":6},"tokens":{"input_tokens":71,"output_tokens":8}}}"#,
        (Some(71), Some(8), None),
    ),
    (
        "Cohere, billed units alone",
        "the same",
        JSON,
        r#"{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":6}}}"#,
        (Some(5), Some(6), None),
    ),
    (
        "Cohere, streamed",
        "docs.cohere.com/reference/chat-stream",
        EVENTS,
        "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":5},\"tokens\":{\"input_tokens\":71,\"output_tokens\":8}}}}\n\n",
        (Some(71), Some(8), None),
    ),
    (
        "Cohere's embeddings",
        "docs.cohere.com/reference/embed",
        JSON,
        r#"{"embeddings":{"float":[[0.1]]},"meta":{"billed_units":{"input_tokens":2}}}"#,
        (Some(2), None, None),
    ),
    (
        "Jina's ranking",
        "jina.ai/reranker",
        JSON,
        r#"{"results":[{"index":0}],"usage":{"total_tokens":15}}"#,
        (None, None, Some(15)),
    ),
    (
        "Mistral",
        "docs.mistral.ai/api",
        JSON,
        r#"{"choices":[],"usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2}}"#,
        (Some(4), Some(2), Some(6)),
    ),
    (
        "Ollama",
        "ollama docs/api.md",
        JSON,
        r#"{"message":{"content":"a"},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":9}"#,
        (Some(26), Some(9), None),
    ),
    (
        "Ollama, streamed",
        "the same",
        LINES,
        "{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":26,\"eval_count\":9}",
        (Some(26), Some(9), None),
    ),
    (
        "vLLM, usage in each chunk",
        "vllm docs, continuous_usage_stats",
        EVENTS,
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1,\"total_tokens\":5}}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6}}\n\ndata: [DONE]\n\n",
        (Some(4), Some(2), Some(6)),
    ),
    (
        "TGI",
        "router/src/lib.rs, Details",
        JSON,
        r#"{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":20,"prefill":[{"id":0,"text":"x"},{"id":1,"text":"y"}]}}"#,
        (Some(2), Some(20), None),
    ),
    (
        "TGI, streamed",
        "the same, StreamDetails",
        EVENTS,
        "data:{\"token\":{\"text\":\"a\"},\"generated_text\":\"a\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":1,\"input_length\":5}}\n\n",
        (Some(5), Some(1), None),
    ),
    (
        "llama.cpp's own route",
        "tools/server/README.md",
        JSON,
        r#"{"content":"a","stop":true,"tokens_evaluated":12,"tokens_predicted":3,"timings":{"prompt_n":1,"predicted_n":3}}"#,
        (Some(12), Some(3), None),
    ),
    (
        "llama.cpp, chat",
        "tools/server/server-task.h, result_timings",
        EVENTS,
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"timings\":{\"cache_n\":10,\"prompt_n\":2,\"prompt_ms\":1.5,\"predicted_n\":3}}\n\ndata: [DONE]\n\n",
        (Some(12), Some(3), None),
    ),
    (
        "SGLang's own route",
        "python/sglang/srt/managers, meta_info",
        JSON,
        r#"{"text":"a","meta_info":{"finish_reason":{"type":"stop"},"prompt_tokens":6,"completion_tokens":2}}"#,
        (Some(6), Some(2), None),
    ),
    (
        "Gemini",
        "ai.google.dev/api/generate-content, UsageMetadata",
        JSON,
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":10,"totalTokenCount":19}}"#,
        (Some(4), Some(15), Some(19)),
    ),
    (
        "Bedrock's Converse",
        "docs.aws.amazon.com/bedrock, TokenUsage",
        JSON,
        r#"{"output":{},"stopReason":"end_turn","usage":{"inputTokens":30,"outputTokens":6,"totalTokens":36}}"#,
        (Some(30), Some(6), Some(36)),
    ),
];

#[tokio::test]
async fn usage_of_every_sender_is_read() {
    for (sender, source, media_type, body, usage) in USAGE {
        // In pieces that each hold less than an event.
        let pieces = body.as_bytes().chunks(7).map(|piece| str::from_utf8(piece).unwrap());
        for response in
            [UpstreamResponse::of(media_type, [*body]), UpstreamResponse::of(media_type, pieces)]
        {
            let gateway = Gateway::new();
            gateway.send(CHAT, UNLIMITED, &response, usize::MAX).await;
            let end = (*media_type != JSON).then_some(StreamEnd::Done);
            assert_eq!(gateway.last(), Logged { usage: *usage, end }, "{sender} ({source})");
        }
    }
}

/// Values of `vary` that servers and proxies send, and whether the cache stores the response.
const VARY: &[(&str, &str, &str, bool)] = &[
    (
        "TGI, TEI",
        "tower-http, src/cors/vary.rs",
        "origin, access-control-request-method, access-control-request-headers",
        true,
    ),
    (
        "Spring",
        "DefaultCorsProcessor",
        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        true,
    ),
    (
        "private networks",
        "wicg.github.io/private-network-access",
        "origin, access-control-request-private-network",
        true,
    ),
    ("vLLM, SGLang", "starlette/middleware/cors.py", "Origin", true),
    ("gzip of nginx, Cloudflare, CloudFront", "nginx, gzip_vary", "Accept-Encoding", true),
    ("actix, salvo", "", "origin,,accept-encoding", true),
    ("virtual hosts", "RFC 9110 section 12.5.5", "host", true),
    ("fields of the key", "CacheKey::headers", "accept, anthropic-version", true),
    ("all", "RFC 9110 section 12.5.5", "*", false),
    ("all, among others", "the same", "origin, *", false),
    ("the caller", "", "authorization", false),
    ("a session", "", "origin, cookie", false),
    ("a language", "", "accept-language", false),
    ("a browser", "", "user-agent", false),
    ("another name", "", "access-control-request-headers, x-user", false),
];

#[tokio::test]
async fn vary_on_headers_outside_the_key_prevents_storing() {
    for (sender, source, vary, stores) in VARY {
        let response = UpstreamResponse::of(JSON, ["[[0.1]]"]).header("vary", vary);
        let (stored, _) = Gateway::new().twice("/embed", r#"{"inputs":["a"]}"#, &response).await;
        assert_eq!(stored, *stores, "{sender} ({source})");
    }
}
