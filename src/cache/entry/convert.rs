//! Converts the response of a chat between its plain and its streamed variant.
//!
//! Only text is converted: roles, contents, finish reasons and usage. Everything else has no certain
//! form in the other variant, for example tool calls, log probabilities, reasoning and unknown
//! members. A response with any of them is not converted, and the request is a miss.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    payload::Document,
    sse::{Decoder, Framer},
};

/// Converts a stream with usage to a plain response.
pub(super) fn stream_to_plain(stream: &Bytes) -> Option<Bytes> {
    let mut chat = PlainChat::default();
    let mut done = false;
    each_event(stream, |data| {
        if done {
            return None;
        }
        if data == b"[DONE]" {
            done = true;
            return Some(());
        }
        chat.add(&object(data)?)
    })?;
    chat.finish().filter(|_| done)
}

/// Removes the usage from a stream.
pub(super) fn without_usage(stream: &Bytes) -> Option<Vec<Bytes>> {
    let mut events = Vec::new();
    each_event(stream, |data| {
        if data == b"[DONE]" {
            events.push(Bytes::from_static(DONE));
            return Some(());
        }
        let mut chunk = object(data)?;
        let usage = chunk.remove("usage");
        let empty = chunk.get("choices")?.as_array()?.is_empty();
        let has_usage = usage.is_some_and(|usage| usage.is_object());
        match (empty, has_usage) {
            // The chunk of `include_usage`.
            (true, true) => {}
            (false, false) => events.push(event(&Value::Object(chunk))),
            // An unknown form of usage.
            _ => return None,
        }
        Some(())
    })?;
    Some(events)
}

/// Converts a plain response to a stream.
pub(super) fn plain_to_stream(plain: &[u8], with_usage: bool) -> Option<Vec<Bytes>> {
    let response = object(plain)?;
    is(&response, "object", "chat.completion")?;
    let mut head = head(&response)?;
    head.insert("object".to_owned(), "chat.completion.chunk".into());
    let usage = response.get("usage")?.as_object()?;
    let mut events = Vec::new();
    let mut chunk = |choices: Value, usage: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".to_owned(), choices);
        if with_usage {
            chunk.insert("usage".to_owned(), usage);
        }
        events.push(event(&Value::Object(chunk)));
    };

    let choices = response.get("choices")?.as_array()?;
    if choices.is_empty() {
        return None;
    }
    for choice in choices {
        let choice = choice.as_object()?;
        only(choice, &["finish_reason", "index", "message"])?;
        let index = choice.get("index")?.as_u64()?;
        let reason = choice.get("finish_reason")?.as_str()?;
        let message = choice.get("message")?.as_object()?;
        only(message, &["content", "role"])?;
        is(message, "role", "assistant")?;
        let content = message.get("content")?.as_str()?;
        let mut one = |delta: Value, reason: Value| {
            let choice = json!({ "index": index, "delta": delta, "finish_reason": reason });
            chunk(json!([choice]), Value::Null);
        };
        one(json!({ "role": "assistant", "content": "" }), Value::Null);
        if !content.is_empty() {
            one(json!({ "content": content }), Value::Null);
        }
        one(json!({}), reason.into());
    }
    if with_usage {
        chunk(json!([]), Value::Object(usage.clone()));
    }
    events.push(Bytes::from_static(DONE));
    Some(events)
}

const DONE: &[u8] = b"data: [DONE]\n\n";

fn event(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// The content of all chunks.
#[derive(Default)]
struct PlainChat {
    /// The members of the first chunk that all others must repeat.
    head: Option<Map<String, Value>>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<Value>,
}

#[derive(Default)]
struct Choice {
    content: String,
    finish_reason: Option<String>,
}

impl PlainChat {
    fn add(&mut self, chunk: &Map<String, Value>) -> Option<()> {
        is(chunk, "object", "chat.completion.chunk")?;
        if self.usage.is_some() {
            // Usage must come last.
            return None;
        }
        let mut head = head(chunk)?;
        let first = self.head.get_or_insert_with(|| head.clone());
        // Some servers set `created` to the time of each chunk.
        head.insert("created".to_owned(), first.get("created")?.clone());
        if *first != head {
            return None;
        }
        let choices = chunk.get("choices")?.as_array()?;
        for choice in choices {
            self.add_choice(choice.as_object()?)?;
        }
        match chunk.get("usage") {
            None | Some(Value::Null) => {}
            Some(usage) if choices.is_empty() && usage.is_object() => {
                self.usage = Some(usage.clone());
            }
            Some(_) => return None,
        }
        Some(())
    }

    fn add_choice(&mut self, choice: &Map<String, Value>) -> Option<()> {
        only(choice, &["delta", "finish_reason", "index"])?;
        let delta = choice.get("delta")?.as_object()?;
        only(delta, &["content", "role"])?;
        if delta.contains_key("role") {
            is(delta, "role", "assistant")?;
        }
        let known = self.choices.entry(choice.get("index")?.as_u64()?).or_default();
        match delta.get("content") {
            None | Some(Value::Null) => {}
            Some(_) if known.finish_reason.is_some() => return None,
            Some(content) => known.content.push_str(content.as_str()?),
        }
        match choice.get("finish_reason") {
            None | Some(Value::Null) => {}
            Some(_) if known.finish_reason.is_some() => return None,
            Some(reason) => known.finish_reason = Some(reason.as_str()?.to_owned()),
        }
        Some(())
    }

    fn finish(self) -> Option<Bytes> {
        let mut response = self.head?;
        if self.choices.is_empty() {
            return None;
        }
        let choices: Option<Vec<Value>> = self
            .choices
            .into_iter()
            .map(|(index, Choice { content, finish_reason })| {
                let message = json!({ "role": "assistant", "content": content });
                Some(json!({ "index": index, "message": message, "finish_reason": finish_reason? }))
            })
            .collect();
        response.insert("object".to_owned(), "chat.completion".into());
        response.insert("choices".to_owned(), choices?.into());
        response.insert("usage".to_owned(), self.usage?);
        Some(Value::Object(response).to_string().into())
    }
}

/// Returns the members that a response and each of its chunks share. Returns `None` if there are
/// unknown members.
fn head(response: &Map<String, Value>) -> Option<Map<String, Value>> {
    const ALWAYS: [&str; 3] = ["created", "id", "model"];
    const SOMETIMES: [&str; 2] = ["service_tier", "system_fingerprint"];
    only(response, &[&ALWAYS[..], &SOMETIMES, &["choices", "object", "usage"]].concat())?;
    let is_known = |name: &str| ALWAYS.contains(&name) || SOMETIMES.contains(&name);
    let known = response.iter().filter(|(name, _)| is_known(name));
    let head: Map<_, _> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    ALWAYS.iter().all(|name| head.contains_key(*name)).then_some(head)
}

/// Calls `take` with the data of each event. Returns `None` once `take` does, and for named or
/// incomplete events.
fn each_event(stream: &Bytes, mut take: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    let (mut framer, mut decoder) = (Framer::new(), Decoder::new());
    for frame in framer.push(stream.clone()) {
        if frame.is_oversize() {
            return None;
        }
        if let Some(event) = decoder.decode(&frame) {
            if event.event_type() != "message" {
                return None;
            }
            take(event.data())?;
        }
    }
    framer.finish().trim_ascii().is_empty().then_some(())
}

/// Parses an object without its empty members. Duplicate names are an error.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    // Padding of OpenAI and timings of llama.cpp.
    const TRANSIENT: [&str; 2] = ["obfuscation", "timings"];
    let mut value = Document::parse(json.to_vec()).ok()?.to_value().ok()?;
    remove_empty_members(&mut value);
    match value {
        Value::Object(mut object) => {
            object.retain(|name, _| !TRANSIENT.contains(&name.as_str()));
            Some(object)
        }
        _ => None,
    }
}

/// Removes members that are `null` or an empty array. Some servers send `logprobs`, `refusal`,
/// `tool_calls` or `annotations` in this form, and others leave them out.
fn remove_empty_members(response: &mut Value) {
    const OF_CHOICE: &[&str] = &["logprobs", "stop_reason", "matched_stop", "token_ids"];
    const OF_MESSAGE: &[&str] = &[
        "annotations",
        "audio",
        "function_call",
        "name",
        "reasoning",
        "reasoning_content",
        "refusal",
        "tool_call_id",
        "tool_calls",
    ];
    const OF_RESPONSE: &[&str] = &["prompt_logprobs", "service_tier", "system_fingerprint"];

    remove_empty(response, OF_RESPONSE);
    let choices = response.get_mut("choices").and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten() {
        remove_empty(choice, OF_CHOICE);
        for name in ["message", "delta"] {
            if let Some(message) = choice.get_mut(name) {
                remove_empty(message, OF_MESSAGE);
            }
        }
    }
}

fn remove_empty(object: &mut Value, names: &[&str]) {
    let Some(object) = object.as_object_mut() else { return };
    object.retain(|name, value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        !(empty && names.contains(&name.as_str()))
    });
}

/// Returns `None` if the object has any other member.
fn only(object: &Map<String, Value>, names: &[&str]) -> Option<()> {
    object.keys().all(|name| names.contains(&name.as_str())).then_some(())
}

fn is(object: &Map<String, Value>, name: &str, value: &str) -> Option<()> {
    (object.get(name)?.as_str()? == value).then_some(())
}

#[cfg(test)]
mod tests;
