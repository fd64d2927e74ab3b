//! The schemas agree with Hugging Face's specifications except for listed differences.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::{Value, json};

use super::{
    TASKS, Task, accepts,
    bodies::bodies,
    captures::captures,
    conformance,
    differences::{DIFFERENCES, Mutation, Mutation::*, Verdict::*, singular},
};

// === theirs ===

fn specifications() -> PathBuf {
    conformance::path("hf-tasks/packages/tasks/src/tasks")
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

fn theirs(folder: &Path, (task, file): (&str, &str)) -> Theirs {
    let schema = read(&folder.join(task).join("spec").join(file));
    let options = jsonschema::options().with_retriever(Common(folder.to_owned()));
    let validator = options.build(&schema).unwrap();
    Theirs { schema, validator }
}

// === mutations ===

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

fn specified() -> impl Iterator<Item = (&'static Task, (&'static str, &'static str))> {
    TASKS.iter().filter_map(|task| Some((task, task.specification?)))
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn verdicts_are_those_of_the_specifications_but_for_named_differences() {
    let folder = specifications();
    let captures = captures();
    let mut occurred = BTreeSet::new();
    let mut unnamed = BTreeSet::new();
    let (mut bodies_judged, mut judged, mut different) = (0, 0, 0);
    for (task, specification) in specified() {
        let (ours, theirs) = (task.built_in(), theirs(&folder, specification));
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
fn whole_bodies_differ_only_as_listed() {
    for (name, body, ours, why) in singular() {
        let task = TASKS.iter().find(|task| task.name == name).unwrap();
        assert_eq!(accepts(&task.built_in(), &body), ours == Accepts, "{name}, {why}: {body}");
    }
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn the_specifications_say_otherwise_of_these_bodies() {
    let folder = specifications();
    for (name, body, ours, why) in singular() {
        let task = TASKS.iter().find(|task| task.name == name).unwrap();
        let theirs = theirs(&folder, task.specification.unwrap()).validator.is_valid(&body);
        assert_eq!(theirs, ours == Refuses, "{name} no longer differs, {why}: {body}");
    }
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
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
    let folder = specifications();
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
