//! Example bodies of each task that together use every parameter.

use serde_json::{Value, json};

/// A PNG of one pixel.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The head of a WAV file.
const SOUND: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

/// Bodies that the schema of `task` accepts.
pub(crate) fn bodies(task: &str) -> Vec<Value> {
    match task {
        "chat_completion" => chat_completion(),
        "completion" => vec![
            json!({"model": "m", "prompt": "Once"}),
            json!({"prompt": ["Once", "Twice"], "max_tokens": 5, "stream": true,
                "stream_options": {"include_usage": true}}),
            json!({"model": "m", "prompt": [1, 2, 3], "echo": true, "logprobs": 5, "max_tokens": 0}),
            json!({"model": "m", "prompt": [[1, 2], [3]], "suffix": "end", "best_of": 2, "n": 2,
                "temperature": 0.5, "top_p": 1, "frequency_penalty": -2, "presence_penalty": 2,
                "seed": -1, "stop": ["a", "b"], "logit_bias": {"50256": -100}, "user": "u"}),
            json!({"model": "m", "prompt": null, "stream": null, "stop": null, "logit_bias": null}),
        ],
        "embeddings" => vec![
            json!({"model": "m", "input": "a"}),
            json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64"}),
            json!({"model": "m", "input": [1, 2, 3], "encoding_format": "float"}),
            json!({"model": "m", "input": [[1, 2], [3]], "dimensions": 256, "user": "u"}),
            json!({"input": "a", "model": null, "dimensions": null, "encoding_format": null}),
        ],
        "responses" => responses(),
        "messages" => vec![
            json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}),
            json!({"model": "m", "system": [{"type": "text", "text": "Be brief.",
            "cache_control": {"type": "ephemeral"}}], "stop_sequences": ["a", "b", "c", "d", "e"],
            "temperature": 1, "top_p": 0.5, "top_k": 5, "stream": true,
            "metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web_search"},
                {"type": "mcp_toolset", "mcp_server_name": "docs"}],
            "tool_choice": {"type": "auto"},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                        "data": IMAGE}}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "t",
                    "signature": "s"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                    "content": "done"}]},
            ]}),
        ],
        "rerank" => vec![
            json!({"query": "a", "texts": ["b"], "raw_scores": true}),
            json!({"model": "m", "query": "a", "documents": ["b", {"text": "c"}], "top_n": 1,
                "return_documents": true}),
            json!({"query": {"content": [{"type": "text", "text": "a"}]},
                "documents": {"content": [{"type": "text", "text": "b"}]}}),
        ],
        "generate" => {
            let mut bodies = generations();
            bodies.push(json!({"text": "Once", "sampling_params": {"temperature": 0}}));
            bodies.push(json!({"text": ["a", "b"], "sampling_params": [{}, {}], "stream": false}));
            bodies.push(json!({"input_ids": [1, 2], "sampling_params": null}));
            bodies.push(json!({"prompt": "Once", "n": 2}));
            bodies
        }
        "text_generation" => {
            let mut bodies = generations();
            bodies.push(json!({"inputs": "", "stream": true, "parameters": {"top_p": 1}}));
            bodies.push(json!({"inputs": "once", "stream": false}));
            bodies
        }
        "tgi_generate" => generations(),
        "any_task" => any_task(),
        "feature_extraction" => vec![
            json!({"inputs": "a"}),
            json!({"inputs": ["a", "b"], "normalize": false, "truncation_direction": "left"}),
            json!({"inputs": "a", "normalize": true, "prompt_name": "query", "truncate": true,
                "truncation_direction": "right"}),
            json!({"inputs": [], "prompt_name": null, "truncate": null}),
        ],
        "text_classification" => classifications("good"),
        "audio_classification" => classifications(SOUND),
        "image_classification" => classifications(IMAGE),
        "token_classification" => vec![
            json!({"inputs": "Bob lives in Bern"}),
            json!({"inputs": "Bob", "parameters": {"aggregation_strategy": "simple",
                "ignore_labels": ["O"], "stride": 16}}),
            json!({"inputs": "Bob", "parameters": {"aggregation_strategy": "none"}}),
        ],
        "zero_shot_classification" => vec![
            json!({"inputs": "good", "parameters": {"candidate_labels": ["a", "b"]}}),
            json!({"inputs": "good", "parameters": {"candidate_labels": ["a"],
                "hypothesis_template": "It is {}.", "multi_label": true}}),
            json!({"inputs": "", "parameters": {"candidate_labels": []}}),
        ],
        "question_answering" => vec![
            json!({"inputs": {"question": "Who?", "context": "Bob did."}}),
            json!({"inputs": {"question": "Who?", "context": "Bob did."}, "parameters": {
                "top_k": 2, "doc_stride": 64, "max_answer_len": 15, "max_seq_len": 384,
                "max_question_len": 64, "handle_impossible_answer": true,
                "align_to_words": false}}),
            json!({"inputs": {"question": "", "context": ""}, "parameters": {}}),
        ],
        "table_question_answering" => vec![
            json!({"inputs": {"question": "How many?",
                "table": {"name": ["a", "b"], "count": ["1", "2"]}}}),
            json!({"inputs": {"question": "How many?", "table": {"name": []}}, "parameters": {
                "padding": "longest", "sequential": true, "truncation": false}}),
            json!({"inputs": {"question": "How many?", "table": {}}, "parameters": {}}),
        ],
        "document_question_answering" => vec![
            json!({"inputs": {"question": "Which number?", "image": IMAGE}}),
            json!({"inputs": {"question": "Which?", "image": "https://example.com/a.png"},
                "parameters": {"doc_stride": 64, "handle_impossible_answer": false, "lang": "en",
                    "max_answer_len": 15, "max_seq_len": 384, "max_question_len": 64, "top_k": 1,
                    "word_boxes": ["total", [0, 1.5, 100, 1000]]}}),
            json!({"inputs": {"question": "Which?", "image": IMAGE}, "parameters": {
                "word_boxes": []}}),
        ],
        "summarization" => vec![
            json!({"inputs": "long"}),
            json!({"inputs": "long", "parameters": {"clean_up_tokenization_spaces": true,
                "truncation": "longest_first", "generate_parameters": {"max_length": 20}}}),
            json!({"inputs": "long", "parameters": {"truncation": "do_not_truncate"}}),
        ],
        "translation" => vec![
            json!({"inputs": "Hello"}),
            json!({"inputs": "Hello", "parameters": {"src_lang": "en", "tgt_lang": "de",
                "clean_up_tokenization_spaces": false, "truncation": "only_first",
                "generate_parameters": {"num_beams": 2}}}),
            json!({"inputs": "Hello", "parameters": {"tgt_lang": "de"}}),
        ],
        "fill_mask" => vec![
            json!({"inputs": "a [MASK]"}),
            json!({"inputs": "a [MASK]", "parameters": {"top_k": 3, "targets": ["b", "c"]}}),
            json!({"inputs": "a [MASK]", "parameters": {"targets": []}}),
        ],
        "sentence_similarity" => vec![
            json!({"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}),
            json!({"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {}}),
            json!({"inputs": {"source_sentence": "", "sentences": []}}),
        ],
        "automatic_speech_recognition" => vec![
            json!({"inputs": SOUND}),
            json!({"inputs": SOUND, "parameters": {"return_timestamps": true,
                "generation_parameters": generation()}}),
            json!({"inputs": SOUND, "parameters": {"generation_parameters": {
                "early_stopping": "never"}}}),
        ],
        "image_segmentation" => vec![
            json!({"inputs": IMAGE}),
            json!({"inputs": IMAGE, "parameters": {"mask_threshold": 0.5,
                "overlap_mask_area_threshold": 0.25, "subtask": "panoptic", "threshold": 0.75}}),
            json!({"inputs": IMAGE, "parameters": {"subtask": "semantic", "threshold": 0}}),
        ],
        "object_detection" => vec![
            json!({"inputs": IMAGE}),
            json!({"inputs": IMAGE, "parameters": {"threshold": 0.75}}),
            json!({"inputs": "https://example.com/a.png", "parameters": {}}),
        ],
        "image_to_text" => vec![
            json!({"inputs": IMAGE}),
            json!({"inputs": IMAGE, "parameters": {"max_new_tokens": 20,
                "generation_parameters": generation()}}),
            json!({"inputs": "https://example.com/a.png", "parameters": {
                "generation_parameters": {}}}),
        ],
        "text_to_image" => vec![
            json!({"inputs": "a cat"}),
            json!({"inputs": "a cat", "parameters": {"negative_prompt": "a dog",
                "guidance_scale": 7.5, "num_inference_steps": 30, "width": 512, "height": 768,
                "scheduler": "DDIM", "seed": 7}}),
            json!({"inputs": "a cat", "parameters": {"guidance_scale": 7, "seed": -1}}),
        ],
        "text_to_speech" => vec![
            json!({"inputs": "Hello"}),
            json!({"inputs": "Hello", "parameters": {"generation_parameters": generation()}}),
            json!({"inputs": "Hello", "parameters": {"generation_parameters": {
                "early_stopping": true}}}),
        ],
        "tei_embed" => vec![
            json!({"inputs": "a"}),
            json!({"inputs": ["a", "b"], "truncate": true, "truncation_direction": "Left"}),
            json!({"inputs": [1, 2, 3], "normalize": false, "prompt_name": "query"}),
            json!({"inputs": ["a", [1, 2]], "dimensions": 64, "truncation_direction": "right"}),
            json!({"inputs": [[1], [2]], "truncate": null, "prompt_name": null,
                "dimensions": null}),
        ],
        "tei_rerank" => vec![
            json!({"query": "a", "texts": ["b"]}),
            json!({"query": "a", "texts": ["b", "c"], "raw_scores": true, "return_text": true,
                "truncate": true, "truncation_direction": "left"}),
            json!({"query": "", "texts": [""], "truncate": null}),
        ],
        "tei_predict" => vec![
            json!({"inputs": "a"}),
            json!({"inputs": ["a", "b"], "raw_scores": true}),
            json!({"inputs": [["a"], ["b", "c"]], "truncate": true,
                "truncation_direction": "Right"}),
            json!({"inputs": ["a"], "truncate": null}),
        ],
        "tei_similarity" => vec![
            json!({"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}),
            json!({"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {
                "truncate": true, "truncation_direction": "left", "prompt_name": "query"}}),
            json!({"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": null}),
        ],
        "tei_tokenize" => vec![
            json!({"inputs": "a"}),
            json!({"inputs": ["a", "b"], "add_special_tokens": false}),
            json!({"inputs": "a", "prompt_name": null}),
            json!({"inputs": "a", "prompt_name": "query", "add_special_tokens": true}),
        ],
        "chat_completion_response" => answers(),
        "embeddings_response" => vec![
            json!({"object": "list", "model": "m", "data": [
                {"object": "embedding", "index": 0, "embedding": [0.5, -1, 0]},
                {"object": "embedding", "index": 1, "embedding": [0, 0, 0]},
            ], "usage": {"prompt_tokens": 2, "total_tokens": 2}}),
            json!({"model": "m", "data": [{"index": 0, "embedding": "AAAAPw=="}]}),
        ],
        _ => panic!("no bodies of {task}"),
    }
}

/// A body of each form that a route for any task takes.
fn any_task() -> Vec<Value> {
    let tasks = [
        "chat_completion",
        "completion",
        "text_generation",
        "feature_extraction",
        "text_classification",
        "token_classification",
        "zero_shot_classification",
        "question_answering",
        "table_question_answering",
        "document_question_answering",
        "summarization",
        "translation",
        "fill_mask",
        "sentence_similarity",
        "automatic_speech_recognition",
        "audio_classification",
        "image_classification",
        "image_segmentation",
        "object_detection",
        "image_to_text",
        "text_to_image",
        "text_to_speech",
        "tei_embed",
        "tei_predict",
        "tgi_generate",
    ];
    let each = tasks.iter().flat_map(|task| bodies(task));
    let instances: Vec<Value> = each.clone().collect();
    // TEI's rankings, and what nobody knows.
    let others = [
        json!({"query": "q", "texts": ["a", "b"]}),
        // huggingface_hub 2.4.0, inference/_client.py, `table_question_answering`. The specification
        // has `question` alone.
        json!({"inputs": {"query": "How many?", "table": {"name": ["a"]}}}),
        // Custom handlers, pairs of texts, rows of a table (huggingface_hub, `tabular_regression`).
        json!({"inputs": {"text": "a", "lang": "en"}}),
        json!({"inputs": {"text": "a", "text_pair": "b"}, "parameters": {"top_k": 1}}),
        json!({"table": {"data": {"width": ["1"]}}}),
        json!({"inputs": {"data": {"width": ["1"]}}}),
        json!({"instances": ["a", "b"], "parameters": {"max_new_tokens": 5}}),
        json!({"instances": instances.chunks(100).next().unwrap_or_default()}),
        json!({"inputs": [{"role": "user", "content": "a"}], "parameters": {"max_new_tokens": 5}}),
        json!({}),
    ];
    each.chain(others).collect()
}

fn chat_completion() -> Vec<Value> {
    vec![
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
        json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "name": "bob", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ]},
                {"role": "assistant", "content": "A cat."},
                {"role": "user", "name": null, "content": "Sure?"},
            ],
            "max_tokens": 32, "temperature": 0.5, "top_p": 0.95, "frequency_penalty": 1.5,
            "presence_penalty": -0.25, "n": 2, "seed": 42, "stop": ["a", "b"], "logprobs": true,
            "top_logprobs": 5, "logit_bias": [0.5, -1], "reasoning_effort": "low",
        }),
        json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function",
                        "function": {"name": "weather", "arguments": "{\"in\":\"Bern\"}"}},
                    {"id": "call_2", "type": "function",
                        "function": {"name": "weather", "arguments": {"in": "Basel"}}},
                ]},
                {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
                {"role": "tool", "tool_call_id": "call_2",
                    "content": [{"type": "text", "text": "Sun"}]},
            ],
            "tools": [
                {"type": "function", "function": {"name": "weather", "description": "Tells.",
                    "parameters": {"type": "object"}}},
                {"type": "function", "function": {"name": "time", "description": null}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "tool_prompt": "Call a function.",
            "response_format": {"type": "json_object"},
        }),
        json!({
            "messages": [{"role": "user", "content": "List"}],
            "tool_choice": "auto",
            "response_format": {"type": "json_schema", "json_schema": {"name": "list",
                "description": "A list", "schema": {"type": "array"}, "strict": true}},
        }),
        json!({
            "messages": [{"role": "user", "content": "Hi"}],
            "tool_choice": "required",
            "response_format": {"type": "text"},
        }),
        json!({
            "model": null, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": null,
            "temperature": null, "top_p": null, "frequency_penalty": null, "presence_penalty": null,
            "n": null, "seed": null, "stop": null, "logprobs": null, "top_logprobs": null,
            "logit_bias": null, "tools": null, "tool_choice": null, "tool_prompt": null,
            "response_format": null, "stream_options": null, "reasoning_effort": null,
        }),
    ]
}

fn answers() -> Vec<Value> {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let answer = |choice: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000,
            "model": "m", "system_fingerprint": "fp", "choices": [choice], "usage": usage})
    };
    vec![
        answer(json!({"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": "Hello", "tool_call_id": null}})),
        answer(json!({"index": 0, "finish_reason": "length",
            "logprobs": {"content": [{"token": "Hello", "logprob": -0.5, "top_logprobs": [
                {"token": "Hello", "logprob": -0.5}, {"token": "Hi", "logprob": -2}]}]},
            "message": {"role": "assistant", "content": "Hello"}})),
        answer(json!({"index": 1, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function",
                    "function": {"name": "f", "arguments": "{}", "description": null}}]}})),
    ]
}

fn responses() -> Vec<Value> {
    vec![
        json!({"model": "m", "input": "Hi"}),
        json!({
            "model": "m", "instructions": "Be brief.", "stream": true,
            "stream_options": {"include_obfuscation": false},
            "input": [
                {"role": "user", "content": "Weather?"},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "Here?"},
                    {"type": "input_image", "image_url": "https://example.com/a.png",
                        "detail": "auto"},
                ]},
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "function_call", "call_id": "call_1", "name": "weather",
                    "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "Rain"},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                    "content": [{"type": "output_text", "text": "Rain.", "annotations": []}]},
                {"type": "item_reference", "id": "msg_0"},
                {"id": "msg_1"},
            ],
            "tools": [
                {"type": "function", "name": "weather", "parameters": {"type": "object"},
                    "strict": true},
                {"type": "web_search"},
            ],
            "tool_choice": {"type": "function", "name": "weather"}, "parallel_tool_calls": true,
            "reasoning": {"effort": "low", "summary": null}, "max_output_tokens": 64,
            "max_tool_calls": 2, "temperature": 1, "top_p": 0.5, "top_logprobs": 2,
            "text": {"format": {"type": "json_schema", "name": "list",
                "schema": {"type": "array"}}, "verbosity": "low"},
            "truncation": "auto", "store": false, "background": false, "include": [],
            "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "k",
            "safety_identifier": "s", "user": "u",
        }),
        json!({"model": "m", "previous_response_id": "resp_1", "input": [], "tool_choice": "none"}),
        json!({"prompt": {"id": "pmpt_1", "version": "2", "variables": {"a": "b"}}}),
        json!({"model": "m", "conversation": {"id": "conv_1"}, "input": null, "tools": null,
            "text": {"format": {"type": "text"}}, "reasoning": null, "max_output_tokens": null}),
    ]
}

/// What both text generation and TGI accept.
fn generations() -> Vec<Value> {
    vec![
        json!({"inputs": "once"}),
        json!({"inputs": "once", "parameters": {"adapter_id": "a/b", "best_of": 1,
            "decoder_input_details": false, "details": true, "do_sample": true,
            "frequency_penalty": 0.5, "max_new_tokens": 20, "repetition_penalty": 1.5,
            "return_full_text": false, "seed": 7, "stop": ["a", "b"], "temperature": 0.5,
            "top_k": 10, "top_n_tokens": 5, "top_p": 0.95, "truncate": 100, "typical_p": 0.95,
            "watermark": true,
            "grammar": {"type": "json", "value": {"properties": {}}}}}),
        json!({"inputs": "once", "parameters": {"grammar": {"type": "regex", "value": "[a-z]+"}}}),
        json!({"inputs": "once", "parameters": {"grammar": {"type": "json_schema",
            "value": {"name": "list", "schema": {"type": "array"}}}}}),
        json!({"inputs": "once", "parameters": {"adapter_id": null, "best_of": null,
            "frequency_penalty": null, "grammar": null, "max_new_tokens": null,
            "repetition_penalty": null, "return_full_text": null, "seed": null,
            "temperature": null, "top_k": null, "top_n_tokens": null, "top_p": null,
            "truncate": null, "typical_p": null}}),
    ]
}

fn classifications(inputs: &str) -> Vec<Value> {
    vec![
        json!({"inputs": inputs}),
        json!({"inputs": inputs, "parameters": {"function_to_apply": "sigmoid", "top_k": 3}}),
        json!({"inputs": inputs, "parameters": {"function_to_apply": "none"}}),
    ]
}

/// Every parameter of generation in Transformers.
fn generation() -> Value {
    json!({"temperature": 0.5, "top_k": 5, "top_p": 0.5, "typical_p": 0.5, "epsilon_cutoff": 0.001,
        "eta_cutoff": 0.001, "max_length": 20, "max_new_tokens": 20, "min_length": 2,
        "min_new_tokens": 2, "do_sample": true, "early_stopping": false, "num_beams": 2,
        "num_beam_groups": 1, "penalty_alpha": 0.5, "use_cache": true})
}
