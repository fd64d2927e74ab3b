//! What is charged where the body hides its text, or does not hold all of its prompt.
//!
//! Each row: the party, the path and the body. The page that names the shape is above it.

use super::*;

const TOLD: u64 = 85_000;

/// What is charged when the upstream tells `TOLD` tokens of a prompt.
async fn told(path: &str, body: &str) -> u64 {
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    Budget::plenty().charge(post(path, body), Answer::json(usage(TOLD, 1))).await
}

/// What is reserved for the prompt: the upstream fails, and told nothing.
async fn reserved(path: &str, body: &str) -> u64 {
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    Budget::plenty().charge(post(path, body), Answer::json("{}").status(500)).await
}

fn prose() -> String {
    "the quick brown fox jumps over it ".repeat(10_000)
}

fn base64(first: &str) -> String {
    format!("{first}{}", "Qm9yZWQ+".repeat(12_500))
}

#[tokio::test]
async fn names_of_members_are_text() {
    let rows = [
        (
            "/v1/messages",
            r#"{"max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"w","input":{"@":true}}]}]}"#,
        ),
        (
            "/v1/messages",
            r#"{"max_tokens":5,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"w","input":{"@":null}}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"max_tokens":5,"messages":[{"role":"assistant","tool_calls":[{"type":"function","id":"1","function":{"name":"f","arguments":{"@":1}}}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"max_tokens":5,"messages":[],"chat_template_kwargs":{"@":1}}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"max_tokens":5,"messages":[{"role":"user","content":[{"any":{"@":1}}]}]}"#,
        ),
    ];
    for (path, row) in rows {
        let body = row.replace('@', &prose());
        assert!(reserved(path, &body).await > 70_000, "{row}");
        assert_eq!(told(path, &body).await, TOLD + 1, "{row}");
    }
    // Short names of what a tool was called with.
    let names: Vec<_> = (0..2_000).map(|name| format!("\"name {name}\":1")).collect();
    let (path, row) = rows[0];
    let body = row.replace("\"@\":true", &names.join(","));
    assert!(reserved(path, &body).await > 4_000);
}

/// Of what stands in a body, a token is at least a byte: nobody knows what is read.
#[tokio::test]
async fn a_reported_prompt_is_bounded_by_the_whole_body() {
    let path = "/v1/chat/completions";
    let long = format!(r#"{{"max_tokens":5,"messages":[],"metadata":{{"a":"{}"}}}}"#, prose());
    assert_eq!(told(path, &long).await, TOLD + 1);
    let short = r#"{"max_tokens":5,"messages":[{"role":"user","content":"abcd"}]}"#;
    assert_eq!(told(path, short).await, short.len() as u64 + 256 + 1);
}

#[tokio::test]
async fn a_prompt_that_the_upstream_extends_is_charged_as_reported() {
    let rows = [
        // platform.openai.com/docs/api-reference/responses/create
        ("/v1/responses", r#"{"previous_response_id":"r1","input":"go on"}"#),
        ("/v1/responses", r#"{"conversation":"c1","input":"x"}"#),
        ("/v1/responses", r#"{"conversation":{"id":"c1"},"input":"x"}"#),
        ("/v1/responses", r#"{"prompt":{"id":"p1"}}"#),
        ("/v1/responses", r#"{"input":[{"type":"item_reference","id":"i"}]}"#),
        (
            "/v1/responses",
            r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"f1"}]}]}"#,
        ),
        (
            "/v1/responses",
            r#"{"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x/a.pdf"}]}]}"#,
        ),
        ("/v1/responses", r#"{"input":"x","tools":[{"type":"web_search"}]}"#),
        (
            "/v1/responses",
            r#"{"input":"x","tools":[{"type":"function","name":"f"},{"type":"mcp","server_url":"https://x"}]}"#,
        ),
        // platform.openai.com/docs/guides/tools-web-search, pdf-files, audio
        ("/v1/chat/completions", r#"{"messages":[],"web_search_options":{}}"#),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}"#,
        ),
        ("/v1/chat/completions", r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/a.png"}}]}]}"#,
        ),
        // docs.vllm.ai/en/latest/features/multimodal_inputs.html
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"https://x/v.mp4"}}]}]}"#,
        ),
        // docs.anthropic.com/en/docs/build-with-claude/pdf-support, files; agents-and-tools
        (
            "/v1/messages",
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x/a.pdf"}}]}]}"#,
        ),
        (
            "/v1/messages",
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}"#,
        ),
        (
            "/v1/messages",
            r#"{"messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
        ),
        (
            "/v1/messages",
            r#"{"messages":[],"mcp_servers":[{"type":"url","url":"https://x","name":"x"}]}"#,
        ),
        // docs.mistral.ai/capabilities/document_ai
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"document_url","document_url":"https://x/a.pdf"}]}]}"#,
        ),
    ];
    for (path, body) in rows {
        assert_eq!(told(path, body).await, TOLD + 1, "{body}");
    }
    // The body bounds these.
    let bounded = [
        ("/v1/responses", r#"{"previous_response_id":null,"conversation":null,"input":"x"}"#),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":"see https://x/a.png"}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f"}},{"type":"custom"}]}"#,
        ),
        (
            "/v1/messages",
            r#"{"messages":[],"tools":[{"name":"f","input_schema":{}}],"mcp_servers":[]}"#,
        ),
        ("/v1/completions", r#"{"prompt":"file_id"}"#),
    ];
    for (path, body) in bounded {
        let most = body.len() as u64 + 256 + 1;
        assert!(told(path, body).await <= most, "{body}");
    }
}

#[tokio::test]
async fn images_and_sound_without_usage_cost_what_was_reserved() {
    let charged = async |path: &str, body: &str, answer: Answer| {
        Budget::plenty().charge(post(path, body), answer).await
    };
    let links = r#"{"created":1,"data":[{"url":"https://x/y.png"}]}"#;
    for (n, media) in [("1", 1_000), ("10", 10_000), ("10.0", 10_000), ("null", 1_000)] {
        let body = format!(r#"{{"prompt":"abcd","n":{n}}}"#);
        let charged = charged("/v1/images/generations", &body, Answer::json(links)).await;
        assert_eq!(charged, 2 + media, "{n}");
    }
    let sound = Answer::json(&b"\0\0\0"[..]).field("content-type", "audio/mpeg");
    assert_eq!(charged("/v1/audio/speech", r#"{"input":"abcd"}"#, sound).await, 2 + 1_000);
    let stream = Answer::stream("data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA\"}\n\n");
    assert_eq!(charged("/v1/audio/speech", r#"{"input":"abcd"}"#, stream).await, 2 + 1_000);
    for n in [r#""10""#, "0", "-1", "1.5", "[10]"] {
        let body = format!(r#"{{"prompt":"abcd","n":{n}}}"#);
        let inner = service_fn(|_| ready(Ok::<_, Infallible>(Answer::json("{}").give())));
        let service = Budget::plenty().layer.layer(inner);
        let response = service.oneshot(post("/v1/images/generations", body)).await.unwrap();
        assert_eq!(response.status(), 422, "{n}");
    }
}

#[tokio::test]
async fn prose_in_the_place_of_a_medium_is_text() {
    let rows = [
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","input":{"file":"@"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"image":"@"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/@"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,@"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,@"}]}]}"#,
        r#"{"messages":[],"documents":[{"file":"@"}]}"#,
        r#"{"messages":[],"chat_template_kwargs":{"file":"@"}}"#,
    ];
    for row in rows {
        for space in [" ", "\\n", "-/+"] {
            let body = row.replace('@', &prose()[..34_000].replace(' ', space));
            assert!(reserved("/v1/chat/completions", &body).await > 6_000, "{row} {space}");
        }
    }
}

#[tokio::test]
async fn media_of_all_types_are_no_text() {
    // M4A, HEIC, AVIF, AAC, MP3 without a tag, AMR.
    let first = [
        "AAAAIGZ0eXBNNEEg",
        "AAAAJGZ0eXBoZWlj",
        "AAAAIGZ0eXBhdmlm",
        "//FQgAAA",
        "//lQgAAA",
        "//uQZAAA",
        "//OExAAA",
        "//KExAAA",
        "IyFBTVIK",
    ];
    for first in first {
        let body = format!(r#"{{"inputs":"{}"}}"#, base64(first));
        let prompt = reserved("/models/openai/whisper", &body).await;
        assert!((1_000..1_100).contains(&prompt), "{first}: {prompt}");
    }
    let rows = [
        // docs.vllm.ai/en/latest/features/multimodal_inputs.html
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_embeds","image_embeds":"@"}]}]}"#,
            1_000,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_embeds","image_embeds":{"image_embeds":"@","image_grid_thw":"@"}}]}]}"#,
            1_000,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"audio_embeds","audio_embeds":"@"}]}]}"#,
            1_000,
        ),
        // platform.openai.com/docs/guides/tools-image-generation
        (
            "/v1/responses",
            r#"{"input":"x","tools":[{"type":"image_generation","input_image_mask":{"image_url":"data:image/png;base64,@"}}]}"#,
            1_000,
        ),
        // docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool, code-execution-tool
        (
            "/v1/messages",
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"x","citations":[{"type":"web_search_result_location","encrypted_index":"@"}]}]}]}"#,
            1_000,
        ),
        (
            "/v1/messages",
            r#"{"messages":[{"role":"user","content":[{"type":"code_execution_tool_result","content":{"encrypted_stdout":"@"}}]}]}"#,
            1_000,
        ),
        // github.com/sgl-project/sglang python/sglang/srt/managers/io_struct.py
        (
            "/generate",
            r#"{"input_embeds":[[0.125,0.5,0.25],[0.125,0.5,0.25]],"sampling_params":{"max_new_tokens":1}}"#,
            2,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"allowed_token_ids":[1,2,3,4],"logit_bias":{"1":1}}"#,
            0,
        ),
    ];
    for (path, row, least) in rows {
        let prompt = reserved(path, &row.replace('@', &base64(""))).await;
        let most = least + if least < 1_000 { 0 } else { 100 };
        assert!((least..=most).contains(&prompt), "{row}: {prompt}");
    }
}
