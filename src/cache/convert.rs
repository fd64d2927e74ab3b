//! One variant of a chat answer told as another.
//!
//! Only what is text and nothing else is converted: roles, contents, finish reasons, usage. Whatever
//! else an answer holds (calls of tools, log probabilities, reasoning, members that are not known
//! here) has no certain form in the other variant, so there is none, and the caller's request is a
//! miss.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    payload::Document,
    sse::{Decoder, Framer},
};

/// The plain answer that a recorded stream with usage amounts to.
pub(super) fn fold(stream: &Bytes) -> Option<Bytes> {
    let mut folded = Folded::default();
    let mut done = false;
    each_event(stream, |data| {
        if done {
            return None;
        }
        if data == b"[DONE]" {
            done = true;
            return Some(());
        }
        folded.add(&object(data)?)
    })?;
    folded.finish().filter(|_| done)
}

/// The stream that a recorded stream with usage would have been without.
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
        let says_usage = usage.is_some_and(|usage| usage.is_object());
        match (empty, says_usage) {
            // The chunk that was asked for.
            (true, true) => {}
            (false, false) => events.push(event(&Value::Object(chunk))),
            // Another's idea of it.
            _ => return None,
        }
        Some(())
    })?;
    Some(events)
}

/// The stream that says what a plain answer says.
pub(super) fn tell(plain: &[u8], with_usage: bool) -> Option<Vec<Bytes>> {
    let answer = object(plain)?;
    is(&answer, "object", "chat.completion")?;
    let mut head = head(&answer)?;
    head.insert("object".to_owned(), "chat.completion.chunk".into());
    let usage = answer.get("usage")?.as_object()?;
    let mut events = Vec::new();
    let mut chunk = |choices: Value, usage: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".to_owned(), choices);
        if with_usage {
            chunk.insert("usage".to_owned(), usage);
        }
        events.push(event(&Value::Object(chunk)));
    };

    let choices = answer.get("choices")?.as_array()?;
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

/// What chunks say, put together.
#[derive(Default)]
struct Folded {
    // Of the first chunk; the others must agree.
    head: Option<Map<String, Value>>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<Value>,
}

#[derive(Default)]
struct Choice {
    content: String,
    finish_reason: Option<String>,
}

impl Folded {
    fn add(&mut self, chunk: &Map<String, Value>) -> Option<()> {
        is(chunk, "object", "chat.completion.chunk")?;
        if self.usage.is_some() {
            // The usage was to be the last.
            return None;
        }
        let mut head = head(chunk)?;
        let first = self.head.get_or_insert_with(|| head.clone());
        // Some servers look at the clock for each chunk.
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
        let mut answer = self.head?;
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
        answer.insert("object".to_owned(), "chat.completion".into());
        answer.insert("choices".to_owned(), choices?.into());
        answer.insert("usage".to_owned(), self.usage?);
        Some(Value::Object(answer).to_string().into())
    }
}

/// What an answer and each of its chunks have in common, if they have nothing else.
fn head(answer: &Map<String, Value>) -> Option<Map<String, Value>> {
    const ALWAYS: [&str; 3] = ["created", "id", "model"];
    const SOMETIMES: [&str; 2] = ["service_tier", "system_fingerprint"];
    only(answer, &[&ALWAYS[..], &SOMETIMES, &["choices", "object", "usage"]].concat())?;
    let is_known = |name: &str| ALWAYS.contains(&name) || SOMETIMES.contains(&name);
    let known = answer.iter().filter(|(name, _)| is_known(name));
    let head: Map<_, _> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    ALWAYS.iter().all(|name| head.contains_key(*name)).then_some(head)
}

/// Calls `take` with the data of each event; `None` as soon as one is not to be converted, and for
/// events that have a name or are left open.
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

/// An object, without members of the same name, whose members that say nothing are left out.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    // How long this very answer took, of llama.cpp; what hides the length of a chunk, of OpenAI.
    const OF_THE_MOMENT: [&str; 2] = ["obfuscation", "timings"];
    let mut value = Document::parse(json.to_vec()).ok()?.to_value().ok()?;
    leave_out_what_says_nothing(&mut value);
    match value {
        Value::Object(mut object) => {
            object.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
            Some(object)
        }
        _ => None,
    }
}

/// Servers write much as `null`, or as an empty array, that others leave out: `logprobs`, `refusal`,
/// `tool_calls`, `annotations`.
fn leave_out_what_says_nothing(answer: &mut Value) {
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
    const OF_ANSWER: &[&str] = &["prompt_logprobs", "service_tier", "system_fingerprint"];

    drop_empty(answer, OF_ANSWER);
    let choices = answer.get_mut("choices").and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten() {
        drop_empty(choice, OF_CHOICE);
        for name in ["message", "delta"] {
            if let Some(message) = choice.get_mut(name) {
                drop_empty(message, OF_MESSAGE);
            }
        }
    }
}

fn drop_empty(object: &mut Value, names: &[&str]) {
    let Some(object) = object.as_object_mut() else { return };
    object.retain(|name, value| {
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        !(empty && names.contains(&name.as_str()))
    });
}

/// No other members than these.
fn only(object: &Map<String, Value>, names: &[&str]) -> Option<()> {
    object.keys().all(|name| names.contains(&name.as_str())).then_some(())
}

fn is(object: &Map<String, Value>, name: &str, value: &str) -> Option<()> {
    (object.get(name)?.as_str()? == value).then_some(())
}

#[cfg(test)]
mod tests;
