//! Captured bodies of real clients.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{accepts, schema_of};

/// Path of the request, and the schema of what goes there.
const ROUTES: [(&str, &str); 16] = [
    ("/v1/chat/completions", "chat_completion"),
    ("/v1/completions", "completion"),
    ("/models/gpt2/v1/completions", "completion"),
    ("/v1/embeddings", "embeddings"),
    ("/models/gpt2", "text_generation"),
    ("/models/minilm-feature", "feature_extraction"),
    ("/models/sentence-similarity", "sentence_similarity"),
    ("/models/distilbert-classif", "text_classification"),
    ("/models/zero-shot-bart", "zero_shot_classification"),
    ("/models/token-ner", "token_classification"),
    ("/models/diffusion", "text_to_image"),
    ("/models/qa", "question_answering"),
    ("/models/summar", "summarization"),
    ("/models/fill-mask", "fill_mask"),
    // Signed requests: recorded for their signature, with a body for any task.
    ("/prod/models/gpt2", "text_generation"),
    ("/prod/models/a%2Fb%20c/x//y", "text_generation"),
];

/// A recorded request with a JSON body.
pub(crate) struct Capture {
    /// File and name, for people.
    pub(crate) name: String,
    /// The schema of its route.
    pub(crate) task: &'static str,
    pub(crate) body: Value,
}

/// What was recorded, each body once. Panics over a JSON body that no row is for.
pub(crate) fn captures() -> Vec<Capture> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut captures = Vec::new();
    let mut seen = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for file in fs::read_dir(project.join("tests/data/captures")).unwrap() {
        let path = file.unwrap().path();
        let recorded: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (name, capture) in recorded.as_object().unwrap() {
            let name = format!("{}/{name}", path.file_stem().unwrap().display());
            let requests = capture.get("requests").and_then(Value::as_array);
            for request in requests.into_iter().flatten() {
                let target = request["target"].as_str().unwrap();
                let route = target.split('?').next().unwrap();
                let Some(body) = json(request) else { continue };
                let Some(row) = ROUTES.iter().find(|(path, _)| *path == route) else {
                    panic!("{name}: no schema is named for a JSON body at {route}");
                };
                routes.insert(row.0);
                if seen.insert((row.1, body.to_string())) {
                    captures.push(Capture { name: name.clone(), task: row.1, body });
                }
            }
        }
    }
    let unused: Vec<_> = ROUTES.iter().filter(|(path, _)| !routes.contains(path)).collect();
    assert!(unused.is_empty(), "no request: {unused:?}");
    captures
}

/// The body, if it is JSON, whatever the request says of it.
fn json(request: &Value) -> Option<Value> {
    let mut fields = request["headers"].as_array().unwrap().iter();
    let media = |field: &Value| {
        field[0].as_str().unwrap().eq_ignore_ascii_case("content-type")
            && field[1].as_str().unwrap().starts_with("application/json")
    };
    let body = serde_json::from_str::<Value>(request["body_text"].as_str()?);
    let announced = fields.any(media) && request["body_len"] != 0;
    assert!(body.is_ok() || !announced, "{request} is no JSON, though it says so");
    body.ok()
}

#[test]
fn captured_client_requests_are_accepted() {
    let captures = captures();
    for Capture { name, task, body } in &captures {
        assert!(accepts(&schema_of(task), body), "{name} as {task}: {body}");
    }
    assert!(captures.len() >= 36, "{} bodies", captures.len());
}
