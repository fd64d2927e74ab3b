//! A chat body of some length, and a schema as those for chats are.
#![allow(dead_code, reason = "each user needs a part of it")]

use serde_json::{Value, json};

/// A body of `length` bytes, as OpenAI's client writes it: turns of about 130 bytes.
pub fn body(length: usize) -> String {
    with_turns(
        length,
        r#"{"role":"user","content":"Name the rivers that rise in the Alps,\n\"north\" to south, and say where each of them ends."},"#,
    )
}

/// The same, with turns of about 600 bytes, as people who talk at length have them.
pub fn essay(length: usize) -> String {
    let line = r"Name the rivers that rise in the Alps, north to south, and say where each of them ends.\n";
    with_turns(length, &format!(r#"{{"role":"user","content":"{}"}},"#, line.repeat(6)))
}

fn with_turns(length: usize, turn: &str) -> String {
    let mut body = String::from(r#"{"model":"meta-llama/Llama-3.3-70B-Instruct","messages":["#);
    let last = r#"{"role":"user","content":""#;
    let tail = r#""}],"temperature":0.7,"max_tokens":256,"stream":false}"#;
    while body.len() + turn.len() + last.len() + tail.len() <= length {
        body.push_str(turn);
    }
    body.push_str(last);
    body.extend(std::iter::repeat_n('x', length - tail.len() - body.len()));
    body + tail
}

/// The members that clients send, their kinds and ranges.
pub fn schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/message"}},
            "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
            "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
            "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
            "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "max_tokens": {"type": ["integer", "null"], "minimum": 1},
            "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
            "seed": {"type": ["integer", "null"]},
            "stream": {"type": ["boolean", "null"]},
            "stream_options": {"type": ["object", "null"]},
            "stop": {"anyOf": [text, {"type": "array", "items": text, "maxItems": 4}]},
            "tools": {"type": "array", "maxItems": 128, "items": {"type": "object"}},
            "tool_choice": {"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}]},
            "response_format": {"type": "object", "required": ["type"]},
            "logprobs": {"type": ["boolean", "null"]},
            "user": text,
        },
        "$defs": {
            "message": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
                    "content": {"anyOf": [
                        text,
                        {"type": "array", "items": {"type": "object", "required": ["type"]}},
                        {"type": "null"},
                    ]},
                    "name": text,
                    "tool_call_id": text,
                    "tool_calls": {"type": "array", "items": {"type": "object"}},
                },
            },
        },
    })
}
