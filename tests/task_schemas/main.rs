//! The built-in schemas: what clients were seen to send passes, the specifications of Hugging Face
//! agree but for named differences, and what an upstream would refuse is refused.

mod agreement;
mod bodies;
mod captures;
mod verdicts;

use serde_json::Value;
use tower_inference::{payload::Document, schema::Schema};

/// A built-in schema, and the folder of its specification where Hugging Face has one.
struct Task {
    name: &'static str,
    schema: fn() -> Schema,
    specification: Option<&'static str>,
}

const fn task(
    name: &'static str,
    schema: fn() -> Schema,
    specification: Option<&'static str>,
) -> Task {
    Task { name, schema, specification }
}

/// All of them.
const TASKS: [Task; 30] = [
    task("chat_completion", Schema::chat_completion, Some("chat-completion")),
    task("completion", Schema::completion, None),
    task("embeddings", Schema::embeddings, None),
    task("responses", Schema::responses, None),
    task("text_generation", Schema::text_generation, Some("text-generation")),
    task("feature_extraction", Schema::feature_extraction, Some("feature-extraction")),
    task("text_classification", Schema::text_classification, Some("text-classification")),
    task("token_classification", Schema::token_classification, Some("token-classification")),
    task(
        "zero_shot_classification",
        Schema::zero_shot_classification,
        Some("zero-shot-classification"),
    ),
    task("question_answering", Schema::question_answering, Some("question-answering")),
    task(
        "table_question_answering",
        Schema::table_question_answering,
        Some("table-question-answering"),
    ),
    task(
        "document_question_answering",
        Schema::document_question_answering,
        Some("document-question-answering"),
    ),
    task("summarization", Schema::summarization, Some("summarization")),
    task("translation", Schema::translation, Some("translation")),
    task("fill_mask", Schema::fill_mask, Some("fill-mask")),
    task("sentence_similarity", Schema::sentence_similarity, Some("sentence-similarity")),
    task(
        "automatic_speech_recognition",
        Schema::automatic_speech_recognition,
        Some("automatic-speech-recognition"),
    ),
    task("audio_classification", Schema::audio_classification, Some("audio-classification")),
    task("image_classification", Schema::image_classification, Some("image-classification")),
    task("image_segmentation", Schema::image_segmentation, Some("image-segmentation")),
    task("object_detection", Schema::object_detection, Some("object-detection")),
    task("image_to_text", Schema::image_to_text, Some("image-to-text")),
    task("text_to_image", Schema::text_to_image, Some("text-to-image")),
    task("text_to_speech", Schema::text_to_speech, Some("text-to-speech")),
    task("tei_embed", Schema::tei_embed, None),
    task("tei_rerank", Schema::tei_rerank, None),
    task("tei_predict", Schema::tei_predict, None),
    task("tei_similarity", Schema::tei_similarity, None),
    task("tei_tokenize", Schema::tei_tokenize, None),
    task("tgi_generate", Schema::tgi_generate, None),
];

fn schema_of(name: &str) -> Schema {
    let task = TASKS.iter().find(|task| task.name == name);
    (task.unwrap_or_else(|| panic!("no schema {name}")).schema)()
}

fn accepts(schema: &Schema, body: &Value) -> bool {
    schema.is_valid(&Document::parse(serde_json::to_vec(body).unwrap()).unwrap())
}
