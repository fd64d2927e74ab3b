//! Rejected bodies with their reasons and unusual bodies that pass.

use serde_json::{Value, json};

use super::{TASKS, accepts, bodies::bodies, schema_of};

/// Puts `value` where `pointer` points, or removes what is there.
fn edited(body: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut body = body.clone();
    let Some((parent, name)) = pointer.rsplit_once('/') else { return value.unwrap() };
    match (body.pointer_mut(parent).unwrap(), value) {
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Object(members), None) => assert!(members.remove(name).is_some(), "{pointer}"),
        (Value::Array(elements), Some(value)) => {
            elements[name.parse::<usize>().unwrap()] = value;
        }
        (node, _) => panic!("{pointer} in {node}"),
    }
    body
}

/// One edit that makes a good body a bad one.
type Edit = (&'static str, Option<Value>, &'static str);

fn to(pointer: &'static str, value: Value, why: &'static str) -> Edit {
    (pointer, Some(value), why)
}

fn without(pointer: &'static str, why: &'static str) -> Edit {
    (pointer, None, why)
}

/// Good bodies of `task`, each with the edits that spoil it.
fn spoiled(task: &str) -> Vec<(Value, Vec<Edit>)> {
    match task {
        "chat_completion" => spoiled_chats(),
        "messages" => vec![(
            json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [
                {"type": "text", "text": "?"}]}]}),
            vec![
                without("/messages", "there is nothing to answer"),
                to("/messages", json!([]), "no message"),
                to("/messages/0/role", json!(5), "a role is a word"),
                without("/messages/0/content", "a message without content"),
                without("/messages/0/content/0/text", "a text without text"),
                to("/messages/0/content/0/type", json!("image"), "an image without a source"),
                to("/messages/0/content/0/type", json!("tool_use"), "a call without a name"),
                to("/messages/0/content/0/type", json!("tool_result"), "a result of no call"),
                to("/max_tokens", json!("5"), "a number in quotes is a string"),
                to("/stop_sequences", json!("a"), "one is an array too"),
                to("/top_p", json!(1.5), "a probability"),
                to("/tool_choice", json!("auto"), "an object here"),
                to("/tools", json!([{"input_schema": {}}]), "a tool without a name"),
            ],
        )],
        "rerank" => vec![(
            json!({"query": "a", "documents": ["b"]}),
            vec![
                without("/query", "ranked by what"),
                without("/documents", "nothing to rank"),
                to("/documents", json!([]), "nothing to rank"),
                to("/documents", json!("b"), "one is an array too"),
                to("/documents", json!([5]), "a document is text, or an object"),
                to("/query", json!(5), "a query is text, or an object"),
                to("/texts", json!("a"), "one is an array too"),
            ],
        )],
        "generate" => vec![
            (
                json!({"inputs": "once", "parameters": {}}),
                vec![
                    to("/inputs", json!(5), "a prompt is text"),
                    to("/inputs", json!(""), "TGI refuses what is empty"),
                    to("/parameters/temperature", json!(0), "TGI wants more than 0"),
                    without("/inputs", "no prompt of any form"),
                ],
            ),
            (
                json!({"text": "once", "sampling_params": {}}),
                vec![
                    to("/text", json!(5), "a prompt is text"),
                    to("/text", json!([]), "no prompt"),
                    to("/sampling_params", json!("x"), "settings are an object"),
                ],
            ),
        ],
        "completion" => vec![(
            json!({"model": "m", "prompt": "Once"}),
            vec![
                without("/prompt", "there is nothing to go on from"),
                to("/prompt", json!(1), "one token is an array too"),
                to("/prompt", json!([]), "no prompt"),
                to("/prompt", json!(["a", 1]), "text and tokens are not mixed"),
                to("/prompt", json!([[]]), "a prompt without tokens"),
                to("/prompt", json!([-1]), "no token is negative"),
                to("/prompt", json!([1.5]), "no token has a fraction"),
                to("/prompt", json!({"text": "Once"}), "a prompt is not an object"),
                to("/model", json!(["m"]), "one model"),
                to("/max_tokens", json!(-1), "fewer tokens than none"),
                to("/max_tokens", json!("5"), "a number in quotes is a string"),
                to("/temperature", json!(2.5), "OpenAI's goes to 2"),
                to("/top_p", json!(1.5), "a probability"),
                to("/frequency_penalty", json!(3), "OpenAI's goes to 2"),
                to("/presence_penalty", json!(-3), "OpenAI's goes to -2"),
                to("/n", json!(0), "at least one choice"),
                to("/best_of", json!(21), "OpenAI's goes to 20"),
                to("/logprobs", json!(6), "OpenAI's goes to 5"),
                to("/logprobs", json!(true), "a chat's is a boolean, this is a number"),
                to("/stop", json!(["a", "b", "c", "d", "e"]), "OpenAI's goes to four"),
                to("/stop", json!([1]), "a stop is text"),
                to("/logit_bias", json!({"1": 101}), "OpenAI's goes to 100"),
                to("/stream", json!("true"), "a boolean in quotes is a string"),
                to("/stream_options", json!({"include_usage": 1}), "a boolean is no number"),
                to("/echo", json!(1), "a boolean is no number"),
                to("/seed", json!(1.5), "a seed has no fraction"),
            ],
        )],
        "embeddings" => vec![(
            json!({"model": "m", "input": "a"}),
            vec![
                without("/input", "there is nothing to embed"),
                to("/input", json!(""), "OpenAI refuses an empty text"),
                to("/input", json!([]), "no text"),
                to("/input", json!(["a", ""]), "an empty text among others"),
                to("/input", json!(["a", 1]), "text and tokens are not mixed"),
                to("/input", json!([1, [1]]), "tokens of one text and of several"),
                to("/input", json!([[1], []]), "a text without tokens"),
                to("/input", json!([1.5]), "no token has a fraction"),
                to("/input", json!([-1]), "no token is negative"),
                to("/input", json!(null), "nothing is not a text"),
                to("/input", json!({"text": "a"}), "a text is not an object"),
                to("/input", json!(vec!["a"; 2049]), "OpenAI's goes to 2048"),
                to("/encoding_format", json!("hex"), "float or base64"),
                to("/dimensions", json!(0), "at least one"),
                to("/dimensions", json!("256"), "a number in quotes is a string"),
                to("/user", json!(1), "a user is text"),
                to("/model", json!(1), "a model is text"),
            ],
        )],
        "responses" => spoiled_responses(),
        "tei_embed" => vec![(
            json!({"inputs": ["a", [1, 2]]}),
            vec![
                without("/inputs", "there is nothing to embed"),
                to("/inputs", json!(""), "TEI refuses an empty text"),
                to("/inputs", json!([]), "TEI refuses an empty batch"),
                to("/inputs", json!(["a", ""]), "an empty text among others"),
                to("/inputs", json!(["a", 1]), "tokens of a text are an array"),
                to("/inputs", json!([1, -1]), "no token is negative"),
                to("/inputs", json!([[1], []]), "a text without tokens"),
                to("/inputs", json!([["a"]]), "pairs are for /predict"),
                to("/inputs", json!({"text": "a"}), "a text is not an object"),
                to("/normalize", json!(null), "TEI has a default, and no null for it"),
                to("/truncate", json!("true"), "a boolean in quotes is a string"),
                to("/truncation_direction", json!("middle"), "left or right"),
                to("/prompt_name", json!(1), "a name is text"),
                to("/dimensions", json!(0), "at least one"),
            ],
        )],
        "tei_rerank" => vec![(
            json!({"query": "a", "texts": ["b"]}),
            vec![
                without("/query", "there is nothing to rank by"),
                without("/texts", "there is nothing to rank"),
                to("/query", json!(["a"]), "one query"),
                to("/texts", json!([]), "TEI refuses an empty batch"),
                to("/texts", json!("b"), "texts are an array, be it of one"),
                to("/texts", json!([{"text": "b"}]), "a text is not an object"),
                to("/raw_scores", json!(1), "a boolean is no number"),
                to("/return_text", json!(null), "TEI has a default, and no null for it"),
                to("/truncation_direction", json!(null), "TEI has a default, and no null for it"),
            ],
        )],
        "tei_predict" => vec![(
            json!({"inputs": [["a"], ["b", "c"]]}),
            vec![
                without("/inputs", "there is nothing to classify"),
                to("/inputs", json!(""), "TEI refuses an empty text"),
                to("/inputs", json!([]), "TEI refuses an empty batch"),
                to("/inputs", json!(["a", "b", "c"]), "three are no pair; a batch is of arrays"),
                to("/inputs", json!([["a"], "b"]), "a batch is of arrays"),
                to("/inputs", json!([["a", "b", "c"]]), "three are no pair"),
                to("/inputs", json!([[]]), "a sequence of nothing"),
                to("/inputs", json!([1]), "TEI takes no tokens here"),
                to("/raw_scores", json!("no"), "a boolean is no text"),
                to("/truncate", json!(1), "a boolean is no number"),
            ],
        )],
        "tei_similarity" => vec![(
            json!({"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {}}),
            vec![
                without("/inputs", "there is nothing to compare"),
                to("/inputs", json!("a"), "a sentence alone"),
                without("/inputs/source_sentence", "nothing to compare with"),
                without("/inputs/sentences", "nothing to compare"),
                to("/inputs/source_sentence", json!(""), "TEI refuses an empty text"),
                to("/inputs/sentences", json!([]), "TEI refuses an empty batch"),
                to("/inputs/sentences", json!("b"), "sentences are an array, be it of one"),
                to("/inputs/sentences", json!([""]), "TEI refuses an empty text"),
                to("/parameters", json!([]), "parameters have names"),
                to("/parameters/truncate", json!("true"), "a boolean in quotes is a string"),
                to("/parameters/truncation_direction", json!("up"), "left or right"),
            ],
        )],
        "tei_tokenize" => vec![(
            json!({"inputs": "a"}),
            vec![
                without("/inputs", "there is nothing to tokenize"),
                to("/inputs", json!(""), "TEI refuses an empty text"),
                to("/inputs", json!([]), "TEI refuses an empty batch"),
                to("/inputs", json!([""]), "TEI refuses an empty text"),
                to("/inputs", json!([1, 2]), "these are tokens already"),
                to("/inputs", json!([["a"]]), "texts are not nested"),
                to("/add_special_tokens", json!(null), "TEI has a default, and no null for it"),
                to("/prompt_name", json!(1), "a name is text"),
            ],
        )],
        "any_task" => vec![
            (
                json!({"messages": [{"role": "user", "content": "a"}], "n": 2}),
                vec![
                    to("/messages", json!([]), "a chat has messages, wherever it is sent"),
                    to("/n", json!("2"), "a number in quotes is a string"),
                    to("/inputs", json!(5), "both forms are judged"),
                    to("/prompt", json!([]), "all of them"),
                ],
            ),
            (
                json!({"inputs": "once", "parameters": {"max_new_tokens": 5}}),
                vec![
                    to("/inputs", json!(5), "no task takes a number"),
                    to("/inputs", json!({"a": "b"}), "no task takes this"),
                    to("/parameters", json!([null, 99]), "serde would take it for a struct"),
                    to("/parameters/max_new_tokens", json!(-1), "fewer tokens than none"),
                    to("/parameters/max_new_tokens", json!("5"), "a string"),
                    to("/parameters/best_of", json!(0), "the best of none"),
                    to("/parameters/temperature", json!(0), "TGI divides by it"),
                ],
            ),
            (
                json!({"instances": [{"inputs": "once"}, {"messages": [{"role": "user", "content": "a"}]}]}),
                vec![
                    to("/instances", json!({"inputs": "once"}), "instances are an array"),
                    to("/instances/0", json!(["once"]), "serde would take it for a struct"),
                    to("/instances/0/inputs", json!(5), "each is judged"),
                    to("/instances/1/messages", json!([]), "by its own form"),
                ],
            ),
        ],
        "tgi_generate" => vec![
            (
                json!({"inputs": "once", "parameters": {}}),
                vec![
                    without("/inputs", "there is nothing to go on from"),
                    to("/inputs", json!(""), "TGI refuses an empty text"),
                    to("/inputs", json!(["once"]), "one text a request"),
                    to("/parameters", json!(null), "TGI has a default, and no null for it"),
                    to("/parameters/max_new_tokens", json!(0), "TGI generates at least one"),
                    to("/parameters/temperature", json!(0), "TGI divides by it"),
                    to("/parameters/top_k", json!(0), "at least one token to choose from"),
                    to("/parameters/top_p", json!(1), "TGI wants less than 1"),
                    to("/parameters/top_p", json!(0), "TGI wants more than 0"),
                    to("/parameters/typical_p", json!(1), "TGI wants less than 1"),
                    to("/parameters/repetition_penalty", json!(0), "TGI wants more than 0"),
                    to("/parameters/frequency_penalty", json!(2.5), "TGI's goes to 2"),
                    to("/parameters/truncate", json!(0), "TGI wants a token to be left"),
                    to("/parameters/best_of", json!(0), "the best of none"),
                    to("/parameters/seed", json!(-1), "TGI's has no sign"),
                    to("/parameters/stop", json!(null), "TGI has a default, and no null for it"),
                    to("/parameters/stop", json!(["a", "b", "c", "d", "e"]), "four by default"),
                    to("/parameters/do_sample", json!(null), "no null for it"),
                ],
            ),
            (
                json!({"inputs": "once", "parameters": {
                    "grammar": {"type": "json", "value": {"properties": {}}}}}),
                vec![
                    without("/parameters/grammar/value", "a grammar without one"),
                    without("/parameters/grammar/type", "a grammar of which kind?"),
                    to("/parameters/grammar/type", json!("ebnf"), "TGI has no such kind"),
                    to("/parameters/grammar/type", json!("regex"), "a pattern is text"),
                    to("/parameters/grammar/value", json!([]), "a schema, or one as text"),
                ],
            ),
        ],
        "embeddings_response" => vec![(
            json!({"model": "m", "data": [{"index": 0, "embedding": [0.5]}]}),
            vec![
                without("/data", "no embeddings"),
                without("/model", "of which model?"),
                to("/data", json!({}), "embeddings are an array"),
                without("/data/0/index", "of which text?"),
                without("/data/0/embedding", "no embedding"),
                to("/data/0/embedding", json!([null]), "an embedding is of numbers: no NaN"),
                to("/data/0/embedding", json!({"values": [0.5]}), "an array, or base64"),
                to("/usage", json!({"prompt_tokens": -1, "total_tokens": 1}), "a debt of tokens"),
            ],
        )],
        "chat_completion_response" => vec![(
            bodies("chat_completion_response").remove(0),
            vec![
                without("/choices", "an error is no answer"),
                to("/choices", json!(null), "no choices are an empty array"),
                to("/choices/0", json!("Hello"), "a choice has a message"),
                without("/choices/0/message", "a choice of nothing"),
                without("/choices/0/message/content", "a message of nothing"),
                to("/choices/0/message/content", json!(1), "content is text"),
                to("/usage/total_tokens", json!(-1), "a debt of tokens"),
                to("/usage/total_tokens", json!(1.5), "no half tokens"),
            ],
        )],
        _ => Vec::new(),
    }
}

fn spoiled_chats() -> Vec<(Value, Vec<Edit>)> {
    let chat = |message: Value| json!({"model": "m", "messages": [message]});
    vec![
        (
            chat(json!({"role": "user", "content": "Hi"})),
            vec![
                without("/messages", "there is no chat"),
                to("/messages", json!("Hi"), "messages are an array"),
                to("/messages", json!([]), "a chat without messages"),
                to("/messages/0", json!("Hi"), "a message has a role"),
                without("/messages/0/role", "a message of nobody"),
                to("/messages/0/role", json!("model"), "OpenAI has no such role"),
                without("/messages/0/content", "a user who says nothing"),
                to("/messages/0/content", json!(null), "the same"),
                to("/messages/0/content", json!({"text": "Hi"}), "parts are an array"),
                to("/messages/0/content", json!(["Hi"]), "a part has a type"),
                to("/messages/0/name", json!(1), "a name is text"),
                to("/model", json!({"id": "m"}), "a model is text"),
                to("/max_tokens", json!(0), "at least one"),
                to("/max_tokens", json!(1.5), "no half tokens"),
                to("/max_completion_tokens", json!("64"), "a number in quotes is a string"),
                to("/temperature", json!(2.1), "OpenAI's goes to 2"),
                to("/temperature", json!("0.7"), "a number in quotes is a string"),
                to("/top_p", json!(-0.1), "a probability"),
                to("/frequency_penalty", json!(2.5), "OpenAI's goes to 2"),
                to("/presence_penalty", json!(-2.5), "OpenAI's goes to -2"),
                to("/n", json!(129), "OpenAI's goes to 128"),
                to("/seed", json!("1"), "a number in quotes is a string"),
                to("/stop", json!([null]), "a stop is text"),
                to("/logprobs", json!(5), "a completion's is a number, this is a boolean"),
                to("/top_logprobs", json!(21), "OpenAI's goes to 20"),
                to("/logit_bias", json!({"1": -101}), "OpenAI's goes to -100"),
                to("/stream", json!(1), "a boolean is no number"),
                to("/stream_options", json!(true), "options have names"),
                to("/stream_options", json!({"include_usage": null}), "yes or no"),
                to("/tools", json!({}), "tools are an array"),
                to("/tools", json!([{"function": {"name": "f"}}]), "a tool of no type"),
                to("/tools", json!([{"type": "function"}]), "a function that is not there"),
                to("/tools", json!([{"type": "function", "function": {}}]), "without a name"),
                to("/tools", json!([{"type": "custom"}]), "a tool that is not there"),
                to("/tool_choice", json!("f"), "a function is chosen by an object"),
                to("/tool_choice", json!({"type": "function"}), "which one?"),
                to("/functions", json!([{"description": "f"}]), "without a name"),
                to("/function_call", json!("required"), "tools have that, functions do not"),
                to("/parallel_tool_calls", json!("no"), "a boolean is no text"),
                to("/response_format", json!("json_object"), "a format is an object"),
                to("/response_format", json!({"type": "xml"}), "nobody has such a format"),
                to("/response_format", json!({"type": "json_schema"}), "no schema"),
                to(
                    "/response_format",
                    json!({"type": "json_schema", "json_schema": {}}),
                    "no name",
                ),
                to("/response_format", json!({"type": "regex"}), "no pattern"),
                to("/modalities", json!("audio"), "modalities are an array"),
                to("/audio", json!({"format": "wav"}), "whose voice?"),
                to("/prediction", json!({"type": "content"}), "no content"),
                to("/metadata", json!({"a": 1}), "OpenAI's values are text"),
                to("/reasoning_effort", json!(1), "an effort is a word"),
                to("/user", json!({}), "a user is text"),
            ],
        ),
        (
            chat(json!({"role": "user", "content": [{"type": "text", "text": "Hi"}]})),
            vec![
                to("/messages/0/content", json!([]), "no part"),
                without("/messages/0/content/0/type", "a part of no type"),
                without("/messages/0/content/0/text", "a text without one"),
                to("/messages/0/content/0/text", json!(1), "text"),
                to("/messages/0/content/0/type", json!("image_url"), "an image without one"),
                to("/messages/0/content/0/type", json!("image"), "nobody has such a part"),
                to(
                    "/messages/0/content/0",
                    json!({"type": "image_url", "image_url": "https://example.com/a.png"}),
                    "the URL is in an object",
                ),
                to(
                    "/messages/0/content/0",
                    json!({"type": "input_audio", "input_audio": {"data": "UklGRg=="}}),
                    "sound of which format?",
                ),
                to("/messages/0/content/0", json!({"type": "file", "file": "a"}), "an object"),
            ],
        ),
        (
            chat(json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]})),
            vec![
                to("/messages/0/content", json!(1), "content is text or parts"),
                to("/messages/0/tool_calls", json!({}), "calls are an array"),
                without("/messages/0/tool_calls/0/id", "which call?"),
                without("/messages/0/tool_calls/0/type", "a call of which type?"),
                without("/messages/0/tool_calls/0/function", "a call of what?"),
                without("/messages/0/tool_calls/0/function/name", "the same"),
                without("/messages/0/tool_calls/0/function/arguments", "OpenAI requires them"),
                to("/messages/0/tool_calls/0/function/arguments", json!([]), "no array"),
                to("/messages/0/tool_calls/0/type", json!("custom"), "without a custom tool"),
                to("/messages/0/audio", json!({}), "which sound?"),
                to("/messages/0/refusal", json!(true), "a refusal is text"),
            ],
        ),
        (
            chat(json!({"role": "tool", "tool_call_id": "a", "content": "Rain"})),
            vec![
                without("/messages/0/tool_call_id", "the answer to which call?"),
                without("/messages/0/content", "no answer"),
                to("/messages/0/content", json!(null), "no answer"),
                to("/messages/0/content", json!({"rain": true}), "an answer is text"),
            ],
        ),
        (
            chat(json!({"role": "function", "name": "f", "content": "Rain"})),
            vec![
                without("/messages/0/name", "the answer of which function?"),
                without("/messages/0/content", "no answer"),
            ],
        ),
        (
            chat(json!({"role": "assistant", "content": "Hi"})),
            vec![without("/messages/0/content", "an assistant who does nothing")],
        ),
    ]
}

fn spoiled_responses() -> Vec<(Value, Vec<Edit>)> {
    vec![
        (
            json!({"model": "m", "input": "Hi"}),
            vec![
                without("/input", "there is nothing to answer"),
                to("/input", json!(1), "an input is text or items"),
                to("/input", json!(["Hi"]), "an item is an object"),
                to("/input", json!([{"text": "Hi"}]), "an item has a role or a type"),
                to("/input", json!([{"type": "message", "content": "Hi"}]), "of nobody"),
                to("/input", json!([{"type": "item_reference"}]), "to which item?"),
                to("/model", json!(1), "a model is text"),
                to("/instructions", json!({}), "instructions are text or items"),
                to("/max_output_tokens", json!(0), "at least one"),
                to("/max_tool_calls", json!(0), "at least one"),
                to("/temperature", json!(3), "OpenAI's goes to 2"),
                to("/top_p", json!(2), "a probability"),
                to("/top_logprobs", json!(21), "OpenAI's goes to 20"),
                to("/stream", json!("yes"), "a boolean is no text"),
                to("/truncation", json!("left"), "auto or disabled"),
                to("/reasoning", json!("high"), "the effort is in an object"),
                to("/text", json!({"format": {"type": "xml"}}), "nobody has such a format"),
                to("/text", json!({"format": {"type": "json_schema", "name": "a"}}), "no schema"),
                to("/tools", json!([{"name": "f"}]), "a tool of no type"),
                to("/tools", json!([{"type": "function"}]), "a function without a name"),
                to("/tool_choice", json!("f"), "a function is chosen by an object"),
                to("/tool_choice", json!({"name": "f"}), "a choice has a type"),
                to("/prompt", json!({}), "which prompt?"),
                to("/conversation", json!({}), "which conversation?"),
                to("/metadata", json!({"a": null}), "OpenAI's values are text"),
            ],
        ),
        (
            json!({"input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "Rain"},
            ]}),
            vec![
                to("/input/0/role", json!("tool"), "outputs have a type of their own"),
                without("/input/0/content", "a message of nothing"),
                without("/input/0/content/0/text", "a text without one"),
                without("/input/0/content/0/type", "a part of no type"),
                without("/input/1/call_id", "which call?"),
                without("/input/1/arguments", "OpenAI requires them"),
                to("/input/1/arguments", json!({}), "OpenAI's are a string"),
                without("/input/2/call_id", "the output of which call?"),
                without("/input/2/output", "no output"),
            ],
        ),
    ]
}

#[test]
fn bodies_the_upstream_rejects_are_rejected() {
    let mut refused = 0;
    for task in &TASKS {
        let schema = task.built_in();
        let mut edits_of_task = 0;
        for (body, edits) in spoiled(task.name) {
            assert!(accepts(&schema, &body), "{}: {body}", task.name);
            for (pointer, value, why) in edits {
                let body = edited(&body, pointer, value);
                assert!(!accepts(&schema, &body), "{} accepts {body}: {why}", task.name);
                edits_of_task += 1;
            }
        }
        let enough = task.specification.is_some() || edits_of_task >= 6;
        assert!(enough, "{}: {edits_of_task} rejections", task.name);
        refused += edits_of_task;
    }
    println!("{refused} rejections");
}

#[test]
fn valid_task_bodies_are_accepted() {
    for task in &TASKS {
        let schema = task.built_in();
        for body in bodies(task.name) {
            assert!(accepts(&schema, &body), "{}: {body}", task.name);
        }
    }
}

#[test]
fn unknown_members_pass() {
    for task in &TASKS {
        let schema = task.built_in();
        for body in bodies(task.name) {
            let mut more = edited(&body, "/guided_json", Some(json!({"type": "object"})));
            if body.get("parameters").is_some_and(Value::is_object) {
                more = edited(&more, "/parameters/min_p", Some(json!([0.5])));
            }
            assert!(accepts(&schema, &more), "{}: {more}", task.name);
        }
    }
}

#[test]
fn body_is_an_object() {
    for task in &TASKS {
        let schema = task.built_in();
        for body in [json!(null), json!(true), json!(1), json!("x"), json!([])] {
            assert!(!accepts(&schema, &body), "{}: {body}", task.name);
        }
        // An object of no known form is held to nothing.
        assert_eq!(accepts(&schema, &json!({})), task.name == "any_task", "{}", task.name);
    }
}

#[test]
fn members_of_providers_and_clients_pass() {
    let said = |message: Value| json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, message]});
    let chat = |member: &str, value: Value| {
        edited(&said(json!({"role": "user", "content": "?"})), member, Some(value))
    };
    let schema = schema_of("chat_completion");
    for (body, why) in [
        (chat("/top_k", json!(-1)), "vLLM's sampling"),
        (chat("/chat_template_kwargs", json!({"enable_thinking": false})), "vLLM's templates"),
        (chat("/provider", json!({"order": ["a"]})), "a router's choice"),
        (chat("/reasoning_effort", json!("xhigh")), "models differ in their words"),
        (chat("/tools", json!([{"type": "browser_search"}])), "a provider's tool"),
        (chat("/tools", json!([{"type": "custom", "custom": {"name": "f"}}])), "OpenAI's"),
        (chat("/tools", json!([])), "clients send no tools as an empty array"),
        (chat("/stop", json!([])), "and no stops"),
        (chat("/logit_bias", json!({"50256": -100})), "OpenAI's map"),
        (chat("/tool_choice", json!({"function": {"name": "f"}})), "TGI's, without a type"),
        (chat("/stream", json!(null)), "OpenAI's null"),
        (chat("/modalities", json!(["text", "audio"])), "OpenAI's"),
        (chat("/audio", json!({"format": "wav", "voice": "alloy"})), "OpenAI's"),
        (chat("/prediction", json!({"type": "content", "content": "x"})), "OpenAI's"),
        (chat("/metadata", json!({"a": "b"})), "OpenAI's"),
        (chat("/functions", json!([{"name": "f", "parameters": {}}])), "what tools were before"),
        (chat("/function_call", json!({"name": "f"})), "what tools were before"),
        (
            said(json!({"role": "assistant", "content": "Hi", "refusal": null, "annotations": [],
                "audio": null, "function_call": null, "tool_calls": null})),
            "openai-python dumps what it got, with the nulls",
        ),
        (
            said(json!({"role": "assistant", "content": null, "tool_calls": [],
                "reasoning_content": "Hm."})),
            "so does vLLM's reasoning come back",
        ),
        (
            said(json!({"role": "assistant", "tool_calls": [
                {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]})),
            "OpenAI's custom tools",
        ),
        (
            said(json!({"role": "user", "content": [
                {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
                {"type": "audio_url", "audio_url": {"url": "https://example.com/a.wav"}}]})),
            "marks of a cache, details, vLLM's parts",
        ),
    ] {
        assert!(accepts(&schema, &body), "{why}: {body}");
    }
}
