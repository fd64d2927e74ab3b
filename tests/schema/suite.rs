//! The JSON Schema test suite.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jsonschema::PatternOptions;
use serde_json::Value;
use tower_inference::{
    payload::Document,
    schema::{Draft, Schema, SchemaFault},
};

use crate::conformance;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

/// The documents that the suite expects to be served, under their URIs.
fn remotes(folder: &Path) -> Vec<(String, Value)> {
    let folder = folder.join("remotes");
    let mut found = Vec::new();
    files(&folder, &mut found);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let text = fs::read(path).unwrap();
        (format!("http://localhost:1234/{name}"), serde_json::from_slice(&text).unwrap())
    };
    found.iter().map(read).collect()
}

/// A group of cases, from one file.
struct Group {
    file: String,
    name: String,
    schema: Value,
    cases: Vec<Value>,
}

fn groups(folder: &Path, draft: &str) -> Vec<Group> {
    let folder = folder.join("tests").join(draft);
    let mut found = Vec::new();
    files(&folder, &mut found);
    let mut groups = Vec::new();
    for path in found {
        let file = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let read: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        groups.extend(read.into_iter().map(|group| Group {
            file: file.clone(),
            name: group["description"].as_str().unwrap().to_owned(),
            schema: group["schema"].clone(),
            cases: group["tests"].as_array().unwrap().clone(),
        }));
    }
    groups
}

/// Whether a draft's groups refer to a document: one of that draft's own, one of no draft, or one
/// of those that the groups on mixed drafts need.
fn serves(uri: &str, draft: &str) -> bool {
    const MIXED: [&str; 4] = [
        "/draft7/ignore-dependentRequired.json",
        "/draft2019-09/dependentRequired.json",
        "/draft2019-09/ignore-prefixItems.json",
        "/draft2020-12/prefixItems.json",
    ];
    let path = uri.trim_start_matches("http://localhost:1234/");
    let owner = path.split('/').next().unwrap();
    owner == draft
        || !(owner.starts_with("draft") || owner == "v1")
        || MIXED.iter().any(|mixed| uri.ends_with(mixed))
}

/// Groups whose schema is rejected: `$schema` names a document of the suite's own.
const UNKNOWN_DRAFT: [&str; 2] = ["vocabulary.json", "optional/format-assertion.json"];

/// Formats that say nothing here, as the tables for them are larger than the rest of the validator.
const SILENT_FORMATS: [&str; 2] =
    ["optional/format/idn-email.json", "optional/format/idn-hostname.json"];

/// What the validator says of `serde_json`'s own values, with the options that `Schema` sets.
fn on_values(
    schema: &Value,
    draft: jsonschema::Draft,
    formats: bool,
    documents: &[(String, Value)],
) -> Option<jsonschema::Validator> {
    let draft = draft.detect(schema);
    if draft == jsonschema::Draft::Unknown {
        return None;
    }
    let documents = documents
        .iter()
        .map(|(uri, value)| (uri.as_str(), draft.detect(value).create_resource_ref(value)));
    let registry = jsonschema::Registry::new()
        .draft(draft)
        .retrieve_known_draft_meta_schemas(false)
        .extend(documents)
        .unwrap()
        .prepare()
        .unwrap();
    jsonschema::options()
        .offline()
        .with_draft(draft)
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
        .should_validate_formats(formats)
        .with_registry(&registry)
        .build(schema)
        .ok()
}

/// Runs the groups of the folder `name` as schemas of `draft`. `is_its` says whether the folder is
/// that draft's own, so that the suite knows the verdicts.
fn run(name: &str, draft: Draft, engine: jsonschema::Draft, is_its: bool) {
    let folder = conformance::path("json-schema-test-suite");
    let mut documents = remotes(&folder);
    documents.retain(|(uri, _)| is_its && serves(uri, name));
    let mut judged = 0;
    for group in groups(&folder, name) {
        let place = format!("{name}/{}: {}", group.file, group.name);
        let formats = group.file.starts_with("optional/format/");
        let mut builder = Schema::builder().draft(draft);
        if formats {
            builder = builder.formats();
        }
        for (uri, document) in &documents {
            builder = builder.document(uri, document.clone());
        }
        let on_values = on_values(&group.schema, engine, formats, &documents);
        let schema = match builder.build(&group.schema) {
            Ok(schema) => schema,
            Err(error) => {
                let is_unknown = matches!(error.fault, SchemaFault::UnknownDraft(_));
                let is_expected = is_unknown && UNKNOWN_DRAFT.contains(&&*group.file);
                assert!(is_expected || !is_its, "{place}: {error}");
                assert!(on_values.is_none(), "{place}: {error}");
                continue;
            }
        };
        let on_values = on_values.unwrap();
        for case in &group.cases {
            let (place, data) = (format!("{place}: {}", case["description"]), &case["data"]);
            let verdict = schema.is_valid(&Document::parse(data.to_string()).unwrap());
            assert_eq!(verdict, on_values.is_valid(data), "{place}");
            let is_silent = SILENT_FORMATS.contains(&&*group.file);
            assert!(!is_its || is_silent || verdict == case["valid"], "{place}");
            judged += 1;
        }
    }
    assert!(judged > 1_000, "{judged}");
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn draft_7_agrees_with_the_suite() {
    run("draft7", Draft::Draft7, jsonschema::Draft::Draft7, true);
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn draft_2019_09_agrees_with_the_suite() {
    run("draft2019-09", Draft::Draft201909, jsonschema::Draft::Draft201909, true);
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn draft_2020_12_agrees_with_the_suite() {
    run("draft2020-12", Draft::Draft202012, jsonschema::Draft::Draft202012, true);
}

#[test]
#[ignore = "needs CONFORMANCE_DATA"]
fn older_drafts_are_judged_as_on_values() {
    run("draft7", Draft::Draft4, jsonschema::Draft::Draft4, false);
    run("draft7", Draft::Draft6, jsonschema::Draft::Draft6, false);
}
