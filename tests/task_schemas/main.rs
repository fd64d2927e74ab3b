//! The built-in schemas accept captured requests, agree with Hugging Face's specifications except
//! for listed differences and reject requests that an upstream would reject.

mod agreement;
mod bodies;
mod captures;
#[path = "../support/conformance.rs"]
mod conformance;
mod differences;
mod parties;
mod verdicts;

use std::{collections::BTreeSet, fs, path::Path};

use allocation_counter::measure;
use serde_json::Value;
use tower_inference::{
    model::Profile,
    payload::Document,
    schema::{BuiltInSchemas, Schema},
};

/// A built-in schema, and the folder and file of its specification where Hugging Face has one.
struct Task {
    name: &'static str,
    schema: fn(&BuiltInSchemas) -> Schema,
    specification: Option<(&'static str, &'static str)>,
}

impl Task {
    /// The strictest: as the profile of OpenAI has it.
    fn built_in(&self) -> Schema {
        (self.schema)(&BuiltInSchemas::new(Profile::openai()))
    }
}

/// What a task of Hugging Face takes.
const fn task(
    name: &'static str,
    schema: fn(&BuiltInSchemas) -> Schema,
    folder: &'static str,
) -> Task {
    Task { name, schema, specification: Some((folder, "input.json")) }
}

/// What Hugging Face does not specify.
const fn other(name: &'static str, schema: fn(&BuiltInSchemas) -> Schema) -> Task {
    Task { name, schema, specification: None }
}

/// All of them.
const TASKS: [Task; 36] = [
    task("chat_completion", BuiltInSchemas::chat_completion, "chat-completion"),
    other("completion", BuiltInSchemas::completion),
    other("embeddings", BuiltInSchemas::embeddings),
    other("responses", BuiltInSchemas::responses),
    other("messages", BuiltInSchemas::messages),
    other("rerank", BuiltInSchemas::rerank),
    other("generate", BuiltInSchemas::generate),
    task("text_generation", BuiltInSchemas::text_generation, "text-generation"),
    task("feature_extraction", BuiltInSchemas::feature_extraction, "feature-extraction"),
    task("text_classification", BuiltInSchemas::text_classification, "text-classification"),
    task("token_classification", BuiltInSchemas::token_classification, "token-classification"),
    task(
        "zero_shot_classification",
        BuiltInSchemas::zero_shot_classification,
        "zero-shot-classification",
    ),
    task("question_answering", BuiltInSchemas::question_answering, "question-answering"),
    task(
        "table_question_answering",
        BuiltInSchemas::table_question_answering,
        "table-question-answering",
    ),
    task(
        "document_question_answering",
        BuiltInSchemas::document_question_answering,
        "document-question-answering",
    ),
    task("summarization", BuiltInSchemas::summarization, "summarization"),
    task("translation", BuiltInSchemas::translation, "translation"),
    task("fill_mask", BuiltInSchemas::fill_mask, "fill-mask"),
    task("sentence_similarity", BuiltInSchemas::sentence_similarity, "sentence-similarity"),
    task(
        "automatic_speech_recognition",
        BuiltInSchemas::automatic_speech_recognition,
        "automatic-speech-recognition",
    ),
    task("audio_classification", BuiltInSchemas::audio_classification, "audio-classification"),
    task("image_classification", BuiltInSchemas::image_classification, "image-classification"),
    task("image_segmentation", BuiltInSchemas::image_segmentation, "image-segmentation"),
    task("object_detection", BuiltInSchemas::object_detection, "object-detection"),
    task("image_to_text", BuiltInSchemas::image_to_text, "image-to-text"),
    task("text_to_image", BuiltInSchemas::text_to_image, "text-to-image"),
    task("text_to_speech", BuiltInSchemas::text_to_speech, "text-to-speech"),
    other("any_task", BuiltInSchemas::any_task),
    other("tei_embed", BuiltInSchemas::tei_embed),
    other("tei_rerank", BuiltInSchemas::tei_rerank),
    other("tei_predict", BuiltInSchemas::tei_predict),
    other("tei_similarity", BuiltInSchemas::tei_similarity),
    other("tei_tokenize", BuiltInSchemas::tei_tokenize),
    other("tgi_generate", BuiltInSchemas::tgi_generate),
    Task {
        name: "chat_completion_response",
        schema: BuiltInSchemas::chat_completion_response,
        specification: Some(("chat-completion", "output.json")),
    },
    other("embeddings_response", BuiltInSchemas::embeddings_response),
];

fn schema_of(name: &str) -> Schema {
    let task = TASKS.iter().find(|task| task.name == name);
    task.unwrap_or_else(|| panic!("no schema {name}")).built_in()
}

fn accepts(schema: &Schema, body: &Value) -> bool {
    schema.is_valid(&Document::parse(serde_json::to_vec(body).unwrap()).unwrap())
}

#[test]
fn each_schema_has_a_file_a_row_and_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/built_in");
    let page = fs::read_to_string(folder.join("built_in.md")).unwrap();
    let mut written = BTreeSet::new();
    for file in fs::read_dir(folder.join("tasks")).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            // What a profile adds to the schemas of the same name.
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(page.contains(&format!("[`BuiltInSchemas::{name}`]")), "{name} is not on the page");
        written.insert(name);
    }
    let tested: BTreeSet<_> = TASKS.iter().map(|task| task.name.to_owned()).collect();
    assert_eq!(tested, written);
}

#[test]
fn validation_does_not_allocate() {
    for task in &TASKS {
        let schema = task.built_in();
        for body in bodies::bodies(task.name) {
            let document = Document::parse(serde_json::to_vec(&body).unwrap()).unwrap();
            assert!(schema.is_valid(&document));
            let count = measure(|| assert!(schema.is_valid(&document))).count_total;
            assert_eq!(count, 0, "{}: {body}", task.name);
        }
    }
}
