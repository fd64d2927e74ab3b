//! Usage below the delivered text is not believed.

use super::*;

const PATH: &str = "/v1/chat/completions";

fn asking() -> Request<Payload> {
    post(PATH, r#"{"messages":[{"content":"x"}],"max_tokens":100000}"#)
}

fn asking_for_a_stream() -> Request<Payload> {
    post(PATH, r#"{"messages":[{"content":"x"}],"max_tokens":100000,"stream":true}"#)
}

/// 20 kB of a carried text, and the lowest true count of so much, in hundredths of the floor that is
/// asserted.
fn texts() -> Vec<(&'static str, String, u64)> {
    let of = |name, text: &str, count: usize| {
        let times = 20_000_usize.div_ceil(text.len());
        (name, text.repeat(times), (count * times) as u64)
    };
    vec![
        of("english", include_str!("../data/token_counts/english.txt"), 268),
        of("chinese", include_str!("../data/token_counts/chinese.txt"), 213),
        of("code", include_str!("../data/token_counts/code.rs"), 502),
        of("json", include_str!("../data/token_counts/minified.json"), 223),
    ]
}

/// A stream of `text` in deltas of some characters that reports one token.
fn stream(text: &str, size: usize, name: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let deltas = characters.chunks(size).map(|delta| {
        let delta: String = delta.iter().collect();
        let event = serde_json::json!({"choices": [{"delta": {name: delta}}]});
        format!("data: {event}\n\n")
    });
    deltas.collect::<String>() + &usage_chunk(1, 1) + "data: [DONE]\n\n"
}

#[tokio::test]
async fn an_upstream_that_reports_one_token_is_charged_by_the_text() {
    for (name, text, lowest) in texts() {
        let whole = serde_json::json!({
            "choices": [{"message": {"content": text}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        });
        let charged = Budget::plenty().charge(asking(), Answer::json(whole.to_string())).await;
        assert!(charged >= lowest * 75 / 100, "{name}: {charged} of {lowest}");
        assert!(charged <= lowest, "{name}: {charged} of {lowest}");
        for size in [1, 3, 1_000] {
            let answer = Answer::stream(stream(&text, size, "content"));
            let streamed = Budget::plenty().charge(asking_for_a_stream(), answer).await;
            assert!(streamed.abs_diff(charged) <= 2, "{name} by {size}: {streamed}, {charged}");
        }
    }
}

#[tokio::test]
async fn escapes_count_as_their_characters() {
    let (_, text, _) = texts().remove(1);
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let told = r#""usage":{"prompt_tokens":1,"completion_tokens":1}"#;
    let charge = async |text: &str| {
        let whole = format!(r#"{{"choices":[{{"message":{{"content":"{text}"}}}}],{told}}}"#);
        Budget::plenty().charge(asking(), Answer::json(whole)).await
    };
    let plain = charge(&text.replace('\n', "\\n")).await;
    assert!(plain > 1_000);
    assert_eq!(charge(&escaped).await, plain);
}

/// A true count is not raised where a server sends its reasoning twice.
#[tokio::test]
async fn repeated_reasoning_counts_once() {
    // 1.1 tokens for a word, as of most tokenizers.
    let (text, honest) = ("thinking about it again. ".repeat(100), 550);
    let used = format!(r#""usage":{{"prompt_tokens":1,"completion_tokens":{honest}}}"#);
    let messages = [
        // vLLM, which renamed the member: vllm/entrypoints/openai/protocol.py.
        format!(r#"{{"reasoning":"{text}","reasoning_content":"{text}"}}"#),
        // OpenRouter: https://openrouter.ai/docs/use-cases/reasoning-tokens
        format!(
            r#"{{"reasoning":"{text}","reasoning_details":[{{"type":"reasoning.text","text":"{text}"}}]}}"#
        ),
        // LiteLLM: https://docs.litellm.ai/docs/reasoning_content
        format!(
            r#"{{"reasoning_content":"{text}","thinking_blocks":[{{"type":"thinking","thinking":"{text}"}}]}}"#
        ),
    ];
    for message in &messages {
        let whole = format!(r#"{{"choices":[{{"message":{message}}}],{used}}}"#);
        assert_eq!(Budget::plenty().charge(asking(), Answer::json(whole)).await, 551, "{message}");
        let delta = format!("data: {{\"choices\":[{{\"delta\":{message}}}]}}\n\n");
        let stream = delta + &usage_chunk(1, honest) + "data: [DONE]\n\n";
        let charged = Budget::plenty().charge(asking_for_a_stream(), Answer::stream(stream)).await;
        assert_eq!(charged, 551, "{message}");
    }
    // TGI's details repeat the text token by token: router/src/lib.rs, `Details`.
    let tokens: Vec<String> =
        text.split_inclusive(' ').map(|word| format!(r#"{{"id":1,"text":"{word}"}}"#)).collect();
    let whole = format!(
        r#"[{{"generated_text":"{text}","details":{{"generated_tokens":{honest},"input_length":1,"tokens":[{}]}}}}]"#,
        tokens.join(",")
    );
    let generate = r#"{"inputs":"x","parameters":{"max_new_tokens":100000,"details":true}}"#;
    let charged = Budget::plenty().charge(post("/generate", generate), Answer::json(whole)).await;
    assert_eq!(charged, 551);
}

/// A tool call is output, and an event of one token counts as one.
#[tokio::test]
async fn arguments_and_token_events_have_a_lower_bound() {
    let arguments = serde_json::json!({"city": "Lisbon", "days": [1, 2, 3]}).to_string().repeat(50);
    let call = serde_json::json!({"choices": [{"message": {"tool_calls": [{"function": {
        "name": "weather", "arguments": arguments}}]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    let charged = Budget::plenty().charge(asking(), Answer::json(call.to_string())).await;
    assert!(charged > 500, "{charged}");
    let event = "data:{\"index\":1,\"token\":{\"id\":1,\"text\":\"a\",\"special\":false},\"generated_text\":null,\"details\":null}\n\n";
    let last = "data:{\"token\":{\"id\":2,\"text\":\"\",\"special\":true},\"generated_text\":\"a\",\"details\":{\"generated_tokens\":1,\"input_length\":1}}\n\n";
    let generate = r#"{"inputs":"x","parameters":{"max_new_tokens":1000}}"#;
    let stream = Answer::stream(event.repeat(299) + last);
    let charged = Budget::plenty().charge(post("/generate_stream", generate), stream).await;
    assert_eq!(charged, 1 + 300);
}

/// The arguments of a tool are output in every shape, also beside a text.
#[tokio::test]
async fn arguments_in_an_object_are_delivered_text() {
    let text = "word ".repeat(5_000);
    let names: Vec<_> = (0..5_000).map(|name| format!(r#""name_{name}":{name}"#)).collect();
    let objects = [
        format!(r#"{{"a":"{text}"}}"#),
        format!(r#"{{"a":{{"b":{{"c":{{"d":["{text}"]}}}}}}}}"#),
        format!("{{{}}}", names.join(",")),
    ];
    let rows = [
        // docs.anthropic.com/en/docs/agents-and-tools/tool-use
        (
            "/v1/messages",
            r#"{"type":"message","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"t","name":"n","input":@}]U}"#,
        ),
        (
            "/v1/messages",
            r#"{"type":"message","content":[{"type":"tool_use","id":"t","name":"n","input":@}]U}"#,
        ),
        // github.com/ollama/ollama docs/api.md
        (
            "/v1/chat/completions",
            r#"{"message":{"content":"x","tool_calls":[{"function":{"name":"n","arguments":@}}]}U}"#,
        ),
        // ai.google.dev/api/generate-content
        (
            "/v1/chat/completions",
            r#"{"candidates":[{"content":{"parts":[{"text":"x"},{"functionCall":{"name":"n","args":@}}]}}]U}"#,
        ),
        // platform.openai.com/docs/guides/function-calling: a custom tool takes a text.
        (
            "/v1/responses",
            r#"{"status":"completed","output":[{"type":"custom_tool_call","input":"T"}]U}"#,
        ),
    ];
    let budget = Budget::plenty();
    for (path, row) in rows {
        for object in &objects {
            let asking = || {
                post(
                    path,
                    r#"{"messages":[],"input":"x","max_tokens":90000,"max_output_tokens":90000}"#,
                )
            };
            let whole = row.replace('@', object).replace('T', &text);
            let charged = budget.charge(asking(), Answer::json(whole.replace('U', ""))).await;
            assert!(charged > 5_500, "{row}: {charged}");
            let told = r#","usage":{"prompt_tokens":1,"completion_tokens":1}"#;
            let least = budget.charge(asking(), Answer::json(whole.replace('U', told))).await;
            assert!((4_500..=charged).contains(&least), "{row}: {least} of {charged}");
        }
    }
    // The input of the request, which Replicate repeats: replicate.com/docs/reference/http
    let repeated = format!(r#"{{"status":"succeeded","input":{},"output":"x"}}"#, objects[0]);
    let asking = post("/v1/chat/completions", r#"{"messages":[],"max_tokens":9000}"#);
    let told = repeated.replace("}}", r#"},"usage":{"prompt_tokens":1,"completion_tokens":1}}"#);
    assert!(budget.charge(asking, Answer::json(told)).await < 9_000);
}

/// Runs of white space, by their true count in `o200k`.
#[tokio::test]
async fn long_runs_of_white_space_cost_tokens() {
    let budget = Budget::plenty();
    for (unit, of_o200k) in [
        (" ", 157),
        ("\t", 1_250),
        ("\n", 1_250),
        ("\r\n", 2_500),
        ("\t ", 9_999),
        (" \n", 5_000),
        ("    \n", 1_000),
    ] {
        let text = unit.repeat(20_000 / unit.len());
        for size in [1, 7, 20_000] {
            let events = stream(&text, size, "content");
            let cut = events.split("data: {\"choices\":[],").next().unwrap().to_owned();
            let charged = budget.charge(asking_for_a_stream(), Answer::stream(cut)).await;
            let share = charged * 100 / of_o200k;
            assert!((45..=250).contains(&share), "{unit:?} by {size}: {charged} of {of_o200k}");
            let told = budget.charge(asking_for_a_stream(), Answer::stream(events)).await;
            let share = told * 100 / of_o200k;
            assert!((12..=100).contains(&share), "{unit:?} by {size}: {told} of {of_o200k}");
        }
        let prompt = serde_json::json!({"prompt": text, "max_tokens": 1}).to_string();
        let failed = Answer::json("{}").status(500);
        let reserved = budget.charge(post("/v1/completions", prompt), failed).await;
        assert!(reserved * 100 / of_o200k >= 45, "{unit:?}: {reserved} of {of_o200k}");
    }
}
