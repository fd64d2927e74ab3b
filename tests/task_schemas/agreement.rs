//! Hugging Face's own specifications say the same, but for what is named here.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::{Value, json};

use super::{TASKS, Task, accepts, bodies::bodies, captures::captures};

/// One change of a body, at one place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Mutation {
    Removed,
    Null,
    Boolean,
    Integer,
    Fraction,
    Text,
    EmptyArray,
    Texts,
    Object,
    // Of numbers alone.
    Zero,
    Negative,
    Million,
}
use Mutation::*;

/// What a member becomes.
fn retyped() -> [(Mutation, Value); 8] {
    [
        (Null, Value::Null),
        (Boolean, json!(true)),
        (Integer, json!(1)),
        (Fraction, json!(0.5)),
        (Text, json!("x")),
        (EmptyArray, json!([])),
        (Texts, json!(["x"])),
        (Object, json!({})),
    ]
}

/// What a number becomes besides.
fn displaced() -> [(Mutation, Value); 3] {
    [(Zero, json!(0)), (Negative, json!(-3)), (Million, json!(1_000_000))]
}

/// Where our verdict is another than theirs.
struct Difference {
    task: &'static str,
    /// JSON pointers; `*` is any one step.
    at: &'static [&'static str],
    by: &'static [Mutation],
    ours: Verdict,
    why: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Accepts,
    Refuses,
}
use Verdict::*;

const fn differs(
    task: &'static str,
    at: &'static [&'static str],
    by: &'static [Mutation],
    ours: Verdict,
    why: &'static str,
) -> Difference {
    Difference { task, at, by, ours, why }
}

/// All there are. A row that explains nothing any more fails the test.
const DIFFERENCES: [Difference; 28] = [
    differs(
        "chat_completion",
        &["/messages"],
        &[EmptyArray],
        Refuses,
        "no upstream answers a chat without messages",
    ),
    differs(
        "chat_completion",
        &["/messages/0"],
        &[Removed],
        Refuses,
        "the same: it was the only message",
    ),
    differs(
        "chat_completion",
        &["/messages/*/role"],
        &[Text],
        Refuses,
        "theirs takes any string, whose template then fails; OpenAI has six roles",
    ),
    differs(
        "chat_completion",
        &["/messages/*/content"],
        &[EmptyArray],
        Refuses,
        "OpenAI wants at least one part",
    ),
    differs(
        "chat_completion",
        &["/messages/*/content/0"],
        &[Removed],
        Refuses,
        "the same: it was the only part",
    ),
    differs(
        "chat_completion",
        &["/messages/2/content"],
        &[Null, Text, EmptyArray],
        Accepts,
        "an assistant may speak and call tools at once, or do neither; theirs has either",
    ),
    differs(
        "chat_completion",
        &["/messages/2/content"],
        &[Boolean, Integer, Fraction, Texts, Object],
        Refuses,
        "theirs does not look at the content of a message that calls tools",
    ),
    differs(
        "chat_completion",
        &["/messages/2/tool_calls"],
        &[Removed, Null],
        Accepts,
        "a model may have said nothing: what it said comes back with the nulls",
    ),
    differs(
        "chat_completion",
        &["/messages/*/tool_calls/*/function/arguments"],
        &[Removed, Null, Boolean, Integer, Fraction, EmptyArray, Texts],
        Refuses,
        "theirs does not name the arguments of a call; OpenAI requires them as a string",
    ),
    differs(
        "chat_completion",
        &["/messages/*/tool_call_id"],
        &[Removed, Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs has no name for it; OpenAI requires that an answer names its call",
    ),
    differs(
        "chat_completion",
        &["/tools/*/function/parameters"],
        &[Boolean, Integer, Fraction, Text, EmptyArray, Texts],
        Refuses,
        "theirs takes anything; OpenAI wants a schema that is an object",
    ),
    differs(
        "chat_completion",
        &["/tool_choice/type"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs has no name for it; OpenAI has, and a string it is",
    ),
    differs(
        "chat_completion",
        &["/stream"],
        &[Null],
        Accepts,
        "OpenAI's clients may send null for whatever is optional",
    ),
    differs("chat_completion", &["/stop"], &[Text], Accepts, "OpenAI takes a string for one"),
    differs(
        "chat_completion",
        &["/logit_bias"],
        &[Object],
        Accepts,
        "OpenAI's is a map of tokens, theirs an array",
    ),
    differs(
        "chat_completion",
        &["/logit_bias/*"],
        &[Million],
        Refuses,
        "OpenAI's goes to 100; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/frequency_penalty", "/presence_penalty"],
        &[Negative, Million],
        Refuses,
        "OpenAI's go from -2 to 2, as in TGI's and vLLM's code; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/temperature", "/top_p"],
        &[Negative, Million],
        Refuses,
        "OpenAI's go to 2 and 1; theirs states no bounds",
    ),
    differs(
        "chat_completion",
        &["/n"],
        &[Zero, Million],
        Refuses,
        "OpenAI's goes from 1 to 128; theirs states no upper bound",
    ),
    differs("chat_completion", &["/top_logprobs"], &[Million], Refuses, "OpenAI's goes to 20"),
    differs(
        "chat_completion",
        &["/max_tokens"],
        &[Zero],
        Refuses,
        "OpenAI, TGI and vLLM refuse to generate nothing",
    ),
    differs("chat_completion", &["/seed"], &[Negative], Accepts, "OpenAI's is signed"),
    differs(
        "text_generation",
        &["/parameters/seed", "/parameters/top_n_tokens"],
        &[Zero],
        Accepts,
        "TGI's code takes 0, whatever its specification says",
    ),
    differs(
        "text_generation",
        &["/parameters/frequency_penalty"],
        &[Million],
        Refuses,
        "TGI's code refuses more than 2; its specification has the lower bound alone",
    ),
    differs(
        "document_question_answering",
        &["/inputs/image"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs says binary, without a type; JSON has base64 text for that, or a URL",
    ),
    differs(
        "document_question_answering",
        &["/parameters/word_boxes/*"],
        &[EmptyArray],
        Refuses,
        "a box has four numbers; theirs says it in a keyword for strings",
    ),
    differs(
        "document_question_answering",
        &["/parameters/word_boxes/1/*"],
        &[Removed],
        Refuses,
        "the same: three numbers are no box",
    ),
    differs(
        "image_to_text",
        &["/inputs"],
        &[Null, Boolean, Integer, Fraction, EmptyArray, Texts, Object],
        Refuses,
        "theirs says binary, without a type; JSON has base64 text for that, or a URL",
    ),
];

/// Whole bodies on which the verdicts differ, where no mutation comes upon it.
fn singular() -> Vec<(&'static str, Value, Verdict, &'static str)> {
    let chat = |member: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
        body[member] = value;
        body
    };
    let said = |message: Value| json!({"messages": [message]});
    vec![
        (
            "chat_completion",
            said(json!({"role": "assistant", "content": "Wait.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]})),
            Accepts,
            "an assistant may speak and call tools at once; theirs has either",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "content": null, "refusal": "No."})),
            Accepts,
            "OpenAI's assistant may refuse",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "audio": {"id": "audio_1"}})),
            Accepts,
            "OpenAI's assistant may speak aloud",
        ),
        (
            "chat_completion",
            said(json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}})),
            Accepts,
            "what tools were before",
        ),
        (
            "chat_completion",
            said(json!({"role": "function", "name": "f", "content": null})),
            Accepts,
            "what tools were before",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]})),
            Accepts,
            "OpenAI's parts; theirs has text and images",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]})),
            Accepts,
            "vLLM's parts",
        ),
        (
            "chat_completion",
            said(json!({"role": "user", "content": [
                {"type": "file", "file": {"file_id": "file-1"}}]})),
            Accepts,
            "OpenAI's parts",
        ),
        (
            "chat_completion",
            chat("tools", json!([{"type": "web_search", "web_search": {}}])),
            Accepts,
            "providers have tools of their own",
        ),
        (
            "chat_completion",
            chat(
                "tool_choice",
                json!({"type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": []}}),
            ),
            Accepts,
            "OpenAI's",
        ),
        (
            "chat_completion",
            chat("response_format", json!({"type": "regex", "value": "[a-z]+"})),
            Accepts,
            "TGI's own form, which its specification no longer has",
        ),
        (
            "chat_completion",
            chat("stop", json!(["a", "b", "c", "d", "e"])),
            Refuses,
            "OpenAI's goes to four; theirs states no bound here",
        ),
        (
            "chat_completion",
            chat("metadata", json!([])),
            Refuses,
            "theirs does not know the rest of OpenAI's members",
        ),
        (
            "text_generation",
            json!({"inputs": "", "parameters": {"frequency_penalty": -2}}),
            Accepts,
            "TGI's code takes the bound itself, whatever its specification says",
        ),
        (
            "feature_extraction",
            json!({"inputs": "a", "truncation_direction": "Left"}),
            Accepts,
            "TEI's first versions want the capital, the later ones take either",
        ),
        (
            "automatic_speech_recognition",
            json!({"inputs": "UklGRg==", "parameters": {"return_timestamps": "word"}}),
            Accepts,
            "Transformers takes the unit of the timestamps too",
        ),
        (
            "automatic_speech_recognition",
            json!({"inputs": "UklGRg==", "parameters": {"return_timestamps": "char"}}),
            Accepts,
            "Transformers takes the unit of the timestamps too",
        ),
    ]
}

impl Difference {
    /// The places of it that explain this.
    fn explains(
        &self,
        task: &str,
        pointer: &str,
        mutation: Mutation,
        ours: Verdict,
    ) -> Option<usize> {
        let here = self.task == task && self.by.contains(&mutation) && self.ours == ours;
        let same = |at: &&str| {
            at.split('/').count() == pointer.split('/').count()
                && at.split('/').zip(pointer.split('/')).all(|(at, step)| at == "*" || at == step)
        };
        if here { self.at.iter().position(|at| same(&at)) } else { None }
    }
}

// === theirs ===

/// The specifications, when they are here.
fn specifications() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/hf-tasks/packages/tasks/src/tasks");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not here", folder.display());
    eprintln!("{} is not here: skipped", folder.display());
    None
}

fn read(path: &Path) -> Value {
    let mut schema = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    allow_null(&mut schema);
    schema
}

/// OpenAPI's `nullable`, in words that draft 6 has.
fn allow_null(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(allow_null),
        Value::Object(keywords) => {
            keywords.values_mut().for_each(allow_null);
            if keywords.remove("nullable") == Some(Value::Bool(true)) {
                let typed = Value::Object(std::mem::take(keywords));
                keywords.insert("anyOf".to_owned(), json!([{"type": "null"}, typed]));
            }
        }
        _ => {}
    }
}

/// Finds what the specifications share.
struct Common(PathBuf);

impl Retrieve for Common {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        match uri.path().as_str() {
            "/inference/schemas/common-definitions.json" => {
                Ok(read(&self.0.join("common-definitions.json")))
            }
            other => Err(format!("{other} is asked for").into()),
        }
    }
}

struct Theirs {
    schema: Value,
    validator: Validator,
}

fn theirs(folder: &Path, specification: &str) -> Theirs {
    let schema = read(&folder.join(specification).join("spec/input.json"));
    let options = jsonschema::options().with_retriever(Common(folder.to_owned()));
    let validator = options.build(&schema).unwrap();
    Theirs { schema, validator }
}

// === mutations ===

/// Every place in `body`, as JSON pointers.
fn places(body: &Value) -> Vec<String> {
    fn walk(node: &Value, here: &str, places: &mut Vec<String>) {
        places.push(here.to_owned());
        match node {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    walk(element, &format!("{here}/{index}"), places);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    assert!(!name.contains(['/', '~']), "{name} would need an escape");
                    walk(member, &format!("{here}/{name}"), places);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(body, "", &mut places);
    places
}

/// `body` without what `pointer` points to.
fn without(body: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let mut body = body.clone();
    match body.pointer_mut(parent)? {
        Value::Array(elements) => drop(elements.remove(name.parse().ok()?)),
        Value::Object(members) => drop(members.remove(name)),
        _ => return None,
    }
    Some(body)
}

/// All mutations of `body`, the root's among them.
fn mutations(body: &Value) -> Vec<(String, Mutation, Value)> {
    let mut mutations = Vec::new();
    for pointer in places(body) {
        if let Some(body) = without(body, &pointer) {
            mutations.push((pointer.clone(), Removed, body));
        }
        let number = body.pointer(&pointer).is_some_and(Value::is_number);
        let displaced = displaced().into_iter().filter(|_| number);
        for (mutation, value) in retyped().into_iter().chain(displaced) {
            let mut mutated = body.clone();
            let node = mutated.pointer_mut(&pointer).unwrap();
            if *node != value {
                *node = value;
                mutations.push((pointer.clone(), mutation, mutated));
            }
        }
    }
    mutations
}

// === tests ===

fn specified() -> impl Iterator<Item = (&'static Task, &'static str)> {
    TASKS.iter().filter_map(|task| Some((task, task.specification?)))
}

#[test]
fn verdicts_are_those_of_the_specifications_but_for_named_differences() {
    let Some(folder) = specifications() else { return };
    let captures = captures();
    let mut occurred = BTreeSet::new();
    let mut unnamed = BTreeSet::new();
    let (mut bodies_judged, mut judged, mut different) = (0, 0, 0);
    for (task, specification) in specified() {
        let (ours, theirs) = ((task.schema)(), theirs(&folder, specification));
        let captured = captures.iter().filter(|capture| capture.task == task.name);
        for body in captured.map(|capture| capture.body.clone()).chain(bodies(task.name)) {
            assert!(accepts(&ours, &body), "{}: ours refuses {body}", task.name);
            assert!(theirs.validator.is_valid(&body), "{}: theirs refuses {body}", task.name);
            bodies_judged += 1;
            for (pointer, mutation, mutated) in mutations(&body) {
                judged += 1;
                let accepted = accepts(&ours, &mutated);
                if accepted == theirs.validator.is_valid(&mutated) {
                    continue;
                }
                different += 1;
                let verdict = if accepted { Accepts } else { Refuses };
                let explained = DIFFERENCES.iter().enumerate().find_map(|(row, difference)| {
                    let at = difference.explains(task.name, &pointer, mutation, verdict)?;
                    Some((row, at, mutation))
                });
                match explained {
                    Some(explained) => occurred.insert(explained),
                    None => unnamed.insert((task.name, pointer, mutation, format!("{verdict:?}"))),
                };
            }
        }
    }
    println!("{bodies_judged} bodies, {judged} mutations, {different} judged differently");
    assert!(unnamed.is_empty(), "{} unnamed: {unnamed:#?}", unnamed.len());

    let mut stale = Vec::new();
    for (row, difference) in DIFFERENCES.iter().enumerate() {
        for (at, pointer) in difference.at.iter().enumerate() {
            for mutation in difference.by {
                if !occurred.contains(&(row, at, *mutation)) {
                    stale.push((difference.task, *pointer, *mutation, difference.why));
                }
            }
        }
    }
    assert!(stale.is_empty(), "no longer differ: {stale:#?}");
    assert!(judged > 6_000, "{judged} mutations");
}

#[test]
fn whole_bodies_differ_where_it_is_named() {
    let folder = specifications();
    for (name, body, ours, why) in singular() {
        let task = TASKS.iter().find(|task| task.name == name).unwrap();
        assert_eq!(accepts(&(task.schema)(), &body), ours == Accepts, "{name}, {why}: {body}");
        if let Some(folder) = &folder {
            let theirs = theirs(folder, task.specification.unwrap()).validator.is_valid(&body);
            assert_eq!(theirs, ours == Refuses, "{name} no longer differs, {why}: {body}");
        }
    }
}

#[test]
fn the_bodies_use_every_parameter_of_the_specifications() {
    fn named(schema: &Value, names: &mut BTreeSet<String>) {
        match schema {
            Value::Array(schemas) => schemas.iter().for_each(|schema| named(schema, names)),
            Value::Object(keywords) => {
                if let Some(properties) = keywords.get("properties").and_then(Value::as_object) {
                    names.extend(properties.keys().cloned());
                }
                keywords.values().for_each(|schema| named(schema, names));
            }
            _ => {}
        }
    }
    fn used(body: &Value, names: &mut BTreeSet<String>) {
        match body {
            Value::Array(elements) => elements.iter().for_each(|element| used(element, names)),
            Value::Object(members) => {
                names.extend(members.keys().cloned());
                members.values().for_each(|member| used(member, names));
            }
            _ => {}
        }
    }
    let Some(folder) = specifications() else { return };
    let common = read(&folder.join("common-definitions.json"));
    for (task, specification) in specified() {
        let theirs = theirs(&folder, specification);
        let (mut theirs_names, mut ours) = (BTreeSet::new(), BTreeSet::new());
        named(&theirs.schema, &mut theirs_names);
        if theirs.schema.to_string().contains("#/definitions/GenerationParameters") {
            named(&common["definitions"]["GenerationParameters"], &mut theirs_names);
        }
        let bodies = bodies(task.name);
        bodies.iter().for_each(|body| used(body, &mut ours));
        let missing: Vec<_> = theirs_names.difference(&ours).collect();
        assert!(missing.is_empty(), "{}: no body has {missing:?}", task.name);
        assert!(bodies.len() >= 3, "{}: {} bodies", task.name, bodies.len());
    }
}
