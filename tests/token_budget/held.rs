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
        // platform.openai.com/docs/api-reference/responses/create: the type of a reference may be missing
        // or null, and an item of a tool needs its id alone.
        ("/v1/responses", r#"{"input":[{"id":"msg_1"}]}"#),
        ("/v1/responses", r#"{"input":[{"id":"msg_1","type":null}]}"#),
        ("/v1/responses", r#"{"input":[{"id":"rs_1","type":"reasoning","summary":[]}]}"#),
        ("/v1/responses", r#"{"input":[{"id":"ig_1","type":"image_generation_call"}]}"#),
        (
            "/v1/responses",
            r#"{"input":[{"id":"ws_1","type":"web_search_call","status":"completed"}]}"#,
        ),
        // learn.microsoft.com/azure/ai-services/openai/references/on-your-data
        ("/v1/chat/completions", r#"{"messages":[],"data_sources":[{"type":"azure_search"}]}"#),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"dataSources":[{"type":"AzureCognitiveSearch"}]}"#,
        ),
        // docs.litellm.ai/docs/providers: what is not in the schema is passed on.
        ("/v1/chat/completions", r#"{"messages":[],"extra_body":{"data_sources":[{}]}}"#),
        // docs.x.ai/docs/guides/live-search
        ("/v1/chat/completions", r#"{"messages":[],"search_parameters":{"mode":"on"}}"#),
        // openrouter.ai/docs/features/web-search, presets
        ("/v1/chat/completions", r#"{"messages":[],"plugins":[{"id":"web"}]}"#),
        ("/v1/chat/completions", r#"{"messages":[],"model":"openai/gpt-4o:online"}"#),
        ("/v1/chat/completions", r#"{"messages":[],"preset":"support"}"#),
        // alibabacloud.com/help/en/model-studio/web-search
        ("/v1/chat/completions", r#"{"messages":[],"enable_search":true}"#),
        ("/v1/chat/completions", r#"{"messages":[],"search_options":{"forced_search":true}}"#),
        // docs.cohere.com/v1/reference/chat
        ("/v1/chat/completions", r#"{"messages":[],"connectors":[{"id":"web-search"}]}"#),
        ("/v1/chat/completions", r#"{"messages":[],"conversation_id":"c"}"#),
        // docs.mistral.ai/api, agents
        ("/v1/chat/completions", r#"{"messages":[],"agent_id":"ag_1"}"#),
        // console.groq.com/docs/compound
        ("/v1/chat/completions", r#"{"messages":[],"model":"groq/compound-mini"}"#),
        ("/v1/chat/completions", r#"{"messages":[],"search_settings":{"country":"pt"}}"#),
        ("/v1/chat/completions", r#"{"messages":[],"compound_custom":{"tools":{}}}"#),
        // platform.openai.com/docs/guides/tools-web-search
        ("/v1/chat/completions", r#"{"messages":[],"model":"gpt-4o-search-preview"}"#),
        // docs.perplexity.ai
        ("/v1/chat/completions", r#"{"messages":[],"model":"perplexity/sonar-pro"}"#),
        // docs.anthropic.com/en/docs/agents-and-tools/agent-skills
        ("/v1/messages", r#"{"messages":[],"container":{"skills":[{"skill_id":"pptx"}]}}"#),
        // docs.sglang.ai: a session goes on from its earlier requests.
        (
            "/generate",
            r#"{"text":"x","sampling_params":{"max_new_tokens":5},"session_params":{"id":"s","rid":"r"}}"#,
        ),
        // docs.vllm.ai/en/latest/features/multimodal_inputs.html, cached by a key
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":null,"uuid":"a"}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{},"uuid":"a"}]}]}"#,
        ),
        // docs.vllm.ai/en/latest/serving/openai_compatible_server.html
        (
            "/v1/chat/completions",
            r#"{"messages":[],"chat_template":"{% for i in range(90000) %}word {% endfor %}"}"#,
        ),
        // Media are compressed. docs.anthropic.com/en/docs/build-with-claude/pdf-support
        (
            "/v1/messages",
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0="}}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAAIGZ0eXA="}}]}]}"#,
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
        (
            "/v1/chat/completions",
            r#"{"messages":[],"enable_search":false,"plugins":[],"agent_id":""}"#,
        ),
        ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"groq/compound"}]}"#),
        ("/v1/responses", r#"{"input":[{"id":"msg_1","role":"user","content":"x"}]}"#),
        ("/v1/responses", r#"{"input":[{"id":"f","type":"function_call","arguments":"{}"}]}"#),
        (
            "/v1/messages",
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"x"}}]}]}"#,
        ),
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

/// A server writes these into the prompt as they are, with the names and numbers in them.
#[tokio::test]
async fn schemas_and_documents_count_as_they_are_written() {
    let names: Vec<_> = (0..300)
        .map(|name| format!(r#""customer_billing_address_{name}":{{"type":"string"}}"#))
        .collect();
    let schema = format!(r#"{{"type":"object","properties":{{{}}}}}"#, names.join(","));
    let rows = [
        // platform.openai.com/docs/guides/structured-outputs, tools-connectors-mcp
        ("/v1/responses", r#"{"input":"x","text":{"format":{"type":"json_schema","schema":@}}}"#),
        (
            "/v1/responses",
            r#"{"input":[{"type":"mcp_list_tools","id":"m","tools":[{"name":"f","input_schema":@}]}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":@}}}"#,
        ),
        // docs.anthropic.com/en/docs/build-with-claude/structured-outputs
        (
            "/v1/messages",
            r#"{"messages":[],"output_config":{"format":{"type":"json_schema","schema":@}}}"#,
        ),
        ("/v1/messages", r#"{"messages":[],"output_format":{"type":"json_schema","schema":@}}"#),
        // docs.vllm.ai: documents, structured_outputs; github.com/ollama/ollama docs/api.md: format
        ("/v1/chat/completions", r#"{"messages":[],"documents":[@]}"#),
        ("/v1/chat/completions", r#"{"messages":[],"structured_outputs":{"json":@}}"#),
        ("/v1/chat/completions", r#"{"messages":[],"format":@}"#),
        // Beside a picture and beside an escape.
        (
            "/v1/chat/completions",
            r#"{"messages":[],"documents":[@,{"image":"data:image/png;base64,iVBORw0KGgo="}]}"#,
        ),
        ("/v1/chat/completions", r#"{"messages":[],"documents":[@,{"text":"\u4e2d"}]}"#),
    ];
    for (path, row) in rows {
        let tokens = reserved(path, &row.replace('@', &schema)).await;
        assert!((1_800..6_500).contains(&tokens), "{row}: {tokens}");
    }
    let digits = "1".repeat(300);
    let numbers = format!(r#"{{"messages":[],"documents":[{{"a":[{digits},{digits}]}}]}}"#);
    assert!(reserved("/v1/chat/completions", &numbers).await > 200);
    let ids = format!(r#"{{"prompt":[{digits},1,2]}}"#);
    assert!(reserved("/v1/completions", &ids).await > 100);
}

/// The output goes on at the upstream after a response in the background.
#[tokio::test]
async fn a_request_in_the_background_costs_what_was_reserved() {
    const LIMIT: u64 = 4_000;
    let asking = |more: &str| {
        post("/v1/responses", format!(r#"{{"input":"abcd","max_output_tokens":{LIMIT}{more}}}"#))
    };
    let response = |status: &str, usage: &str| {
        format!(
            r#"{{"id":"r","object":"response","status":"{status}","background":true,"error":null,"output":[],"usage":{usage}}}"#
        )
    };
    let queued = response("queued", "null");
    let begun = Answer::stream(format!(
        "data: {{\"type\":\"response.created\",\"response\":{queued}}}\n\n"
    ));
    let zeros = response("queued", r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#);
    let budget = Budget::plenty();
    for more in [r#","background":true"#, r#","background":true,"stream":true"#] {
        for answer in [
            Answer::json(queued.clone()),
            Answer::json(zeros.clone()),
            Answer::json("{}").status(500),
            begun.clone(),
        ] {
            let charged = budget.charge(asking(more), answer.clone()).await;
            assert!(charged >= 2 + LIMIT, "{more} {:?}: {charged}", answer.frames);
        }
        let refused = Answer::json("{}").status(400);
        assert_eq!(budget.charge(asking(more), refused).await, 0);
    }
    // xAI: docs.x.ai/docs/guides/deferred-chat-completions
    let deferred = r#"{"messages":[],"max_tokens":4000,"deferred":true}"#;
    let charged = budget
        .charge(post("/v1/chat/completions", deferred), Answer::json(r#"{"request_id":"r"}"#))
        .await;
    assert!(charged >= LIMIT, "{charged}");
    // The end brings the count.
    let usage = r#"{"input_tokens":5,"output_tokens":7,"total_tokens":12}"#;
    let done = response("completed", usage);
    let ended = format!("data: {{\"type\":\"response.completed\",\"response\":{done}}}\n\n");
    let streamed = r#","background":true,"stream":true"#;
    assert_eq!(budget.charge(asking(streamed), Answer::stream(ended)).await, 12);
    assert_eq!(budget.charge(asking(r#","background":true"#), Answer::json(done)).await, 12);
    let charged = budget.charge(asking(r#","background":false"#), Answer::json(queued)).await;
    assert!(charged < LIMIT, "{charged}");
}

#[tokio::test]
async fn reported_usage_of_generated_media_is_charged() {
    let told =
        r#"{"data":[],"usage":{"input_tokens":30,"output_tokens":60000,"total_tokens":60030}}"#;
    let budget = Budget::plenty();
    for body in [r#"{"prompt":"x","n":10}"#, r#"{"prompt":"x","quality":"high"}"#] {
        let request = post("/v1/images/generations", body);
        assert_eq!(budget.charge(request, Answer::json(told)).await, 60_030, "{body}");
    }
    let uploads = Budget::plenty();
    let layer = uploads.layer.clone().flat_cost(1_000);
    let uploads = Budget { layer, ..uploads };
    let form = "--x\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n10\r\n--x--\r\n";
    for (path, body) in [
        ("/v1/images/edits", form.as_bytes().to_vec()),
        ("/v1/images/edits", vec![0xff; 100]),
        ("/v1/audio/transcriptions", vec![0xff; 100]),
        ("/models/openai/whisper", vec![0xff; 100]),
    ] {
        let request = Request::post(path).header(CONTENT_TYPE, "multipart/form-data; boundary=x");
        let request = request.body(Payload::buffered(body)).unwrap();
        assert_eq!(uploads.charge(request, Answer::json(told)).await, 60_030, "{path}");
    }
}
