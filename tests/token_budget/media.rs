//! Base64 of any API is a medium with a flat cost, not text.
//!
//! Each row names the API, the shape and the page or file that documents it.

use super::*;

/// A medium's.
const FLAT: u64 = 1_000;

/// 100,000 characters of base64 that look like a PNG.
fn base64() -> String {
    format!("iVBORw0KGgo{}", "Qm9yZWQ+".repeat(12_500))
}

/// Party, path, body and the media in it; `@` is base64.
const ROWS: &[(&str, &str, &str, u64)] = &[
    // platform.openai.com/docs/guides/images-vision
    (
        "OpenAI chat, image",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,@","detail":"high"}}]}]"#,
        1,
    ),
    (
        "OpenAI chat, image by address",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]"#,
        1,
    ),
    // platform.openai.com/docs/guides/audio
    (
        "OpenAI chat, audio",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"@","format":"wav"}}]}]"#,
        1,
    ),
    // platform.openai.com/docs/guides/pdf-files
    (
        "OpenAI chat, file",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,@"}}]}]"#,
        1,
    ),
    (
        "OpenAI chat, two images",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,@"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,@"}}]}]"#,
        2,
    ),
    // platform.openai.com/docs/api-reference/responses
    (
        "OpenAI responses, image",
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,@"}]}]"#,
        1,
    ),
    (
        "OpenAI responses, image by id",
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}]"#,
        1,
    ),
    (
        "OpenAI responses, file",
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,@"}]}]"#,
        1,
    ),
    (
        "OpenAI responses, image of the history",
        "/v1/responses",
        r#"{"input":[{"type":"image_generation_call","id":"ig_1","status":"completed","result":"@"}]"#,
        1,
    ),
    (
        "OpenAI responses, screenshot",
        "/v1/responses",
        r#"{"input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,@"}}]"#,
        1,
    ),
    (
        "OpenAI responses, encrypted reasoning",
        "/v1/responses",
        r#"{"input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"@"}]"#,
        1,
    ),
    (
        "OpenAI images, of the history",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"done"}],"data":[{"b64_json":"@"}]}]"#,
        1,
    ),
    // docs.anthropic.com/en/docs/build-with-claude/vision, pdf-support
    (
        "Anthropic, image",
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"@"}}]}]"#,
        1,
    ),
    (
        "Anthropic, image by address",
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}]"#,
        1,
    ),
    (
        "Anthropic, document",
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"@"}}]}]"#,
        1,
    ),
    (
        "Anthropic, tool result with an image",
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"@"}}]}]}]"#,
        1,
    ),
    (
        "Anthropic, signature of thinking",
        "/v1/messages",
        r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"@"}]}]"#,
        1,
    ),
    // modelcontextprotocol.io/specification, server/tools: content of a tool's result
    (
        "MCP, image",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"tool","tool_call_id":"t","content":[{"type":"image","data":"@","mimeType":"image/png"}]}]"#,
        1,
    ),
    (
        "MCP, resource",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"tool","tool_call_id":"t","content":[{"type":"resource","resource":{"uri":"file:///a","mimeType":"image/png","blob":"@"}}]}]"#,
        1,
    ),
    // ai.google.dev/api/caching#Part
    (
        "Gemini, inline data",
        "/v1beta/models/gemini:generateContent",
        r#"{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"@"}}]}]"#,
        1,
    ),
    (
        "Gemini, inline data in snake case",
        "/v1beta/models/gemini:generateContent",
        r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"@"}}]}]"#,
        1,
    ),
    // docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html
    (
        "Bedrock converse, image",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"@"}}}]}]"#,
        1,
    ),
    // github.com/ollama/ollama/blob/main/docs/api.md
    (
        "Ollama chat, images",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":"hi","images":["@","@"]}]"#,
        2,
    ),
    ("Ollama generate, images", "/v1/completions", r#"{"prompt":"hi","images":["@"]"#, 1),
    // github.com/ggml-org/llama.cpp tools/server/README.md
    (
        "llama.cpp, multimodal data",
        "/v1/completions",
        r#"{"prompt":{"prompt_string":"hi","multimodal_data":["@"]}"#,
        1,
    ),
    // docs.vllm.ai/en/latest/features/multimodal_inputs.html
    (
        "vLLM, video",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"data:video/mp4;base64,@"}}]}]"#,
        1,
    ),
    (
        "vLLM, audio",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"audio_url","audio_url":{"url":"data:audio/ogg;base64,@"}}]}]"#,
        1,
    ),
    // huggingface.co/docs/inference-providers/tasks
    ("HF task, image", "/models/org/vit", r#"{"inputs":"@""#, 1),
    (
        "HF task, image and question",
        "/models/org/vqa",
        r#"{"inputs":{"image":"@","question":"what"}"#,
        1,
    ),
    // huggingface.co/docs/text-generation-inference, basic_tutorials/visual_language_models
    (
        "TGI, picture in Markdown",
        "/generate",
        r#"{"inputs":"![](data:image/png;base64,@) what","parameters":{"max_new_tokens":1}"#,
        1,
    ),
    // github.com/michaelfeil/infinity: multimodal embeddings
    (
        "Infinity, image",
        "/v1/embeddings",
        r#"{"input":["data:image/png;base64,@"],"modality":"image""#,
        1,
    ),
    // jina.ai/embeddings
    ("Jina, image", "/v1/embeddings", r#"{"input":[{"image":"@"},{"text":"a cat"}]"#, 1),
    (
        "nested anywhere",
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"x":{"y":[{"z":"data:application/zip;base64,@"}]}}]}]"#,
        1,
    ),
];

/// Returns the reservation of a prompt, by an upstream that fails without usage.
async fn prompt(path: &str, body: String) -> u64 {
    Budget::plenty().charge(post(path, body), Answer::json("{}").status(500)).await
}

#[tokio::test]
async fn each_medium_has_its_flat_cost() {
    let data = base64();
    for (party, path, body, media) in ROWS {
        let body = body.replace('@', &data) + "}";
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{party}");
        let prompt = prompt(path, body).await;
        let most = media * FLAT + 100;
        assert!((media * FLAT..most).contains(&prompt), "{party}: {prompt}");
    }
}

/// Text counts as text in any place and of any look.
#[tokio::test]
async fn text_that_looks_like_data_is_text() {
    let rows = [
        r#"{"messages":[{"role":"user","content":"@"}]"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"@","image":"x"}]}]"#,
        r#"{"messages":[{"role":"user","content":"@","audio":{"id":"audio_1"}}]"#,
        r#"{"messages":[{"role":"user","content":"data:image/png;base64,@"}]"#,
        r#"{"messages":[{"role":"tool","content":"{\"data\":\"@\"}"}]"#,
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"word @"}}]}]"#,
        r#"{"messages":[{"role":"user","content":[{"image":{"caption":"a caption: @"}}]}]"#,
    ];
    for row in rows {
        let body = row.replace('@', &base64()) + "}";
        let prompt = prompt("/v1/chat/completions", body).await;
        assert!(prompt > 25_000, "{row}: {prompt}");
    }
}

/// A medium may be long: a document has a thousand tokens a page.
#[tokio::test]
async fn the_upstreams_count_of_a_medium_is_charged() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"@"}}]}],"max_tokens":10}"#;
    let body = body.replace('@', &base64());
    let told = Answer::json(usage(60_000, 10));
    assert_eq!(Budget::plenty().charge(post("/v1/messages", body), told).await, 60_010);
}
