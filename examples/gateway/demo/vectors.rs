//! Embeddings: each text has a fixed unit vector without meaning.

use axum::{
    Json,
    body::Bytes,
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::upstream::error;

const DIMENSIONS: usize = 8;
const MAX_DIMENSIONS: u64 = 4096;

/// Serves `/v1/embeddings`.
pub(super) async fn openai(body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let Some(texts) = openai_inputs(&request["input"]) else {
        return error(StatusCode::BAD_REQUEST, "`input` must be text, tokens or a list of them");
    };
    let dimensions = match &request["dimensions"] {
        Value::Null => Some(DIMENSIONS),
        wanted => wanted
            .as_u64()
            .filter(|wanted| (1..=MAX_DIMENSIONS).contains(wanted))
            .and_then(|wanted| usize::try_from(wanted).ok()),
    };
    let Some(dimensions) = dimensions else {
        return error(StatusCode::BAD_REQUEST, "`dimensions` must be a number from 1 to 4096");
    };
    let base64 = request["encoding_format"] == "base64";
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = unit_vector(text.as_bytes(), dimensions);
        let embedding = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            json!(BASE64_STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data: Vec<Value> = data.collect();
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Json(json!({ "object": "list", "model": "demo", "data": data, "usage": usage })).into_response()
}

/// Serves TEI's `/embed` with TEI's headers.
pub(super) async fn tei(body: Bytes) -> Response {
    let inputs = serde_json::from_slice(&body).ok().and_then(|body: Value| texts(&body["inputs"]));
    let Some(texts) = inputs else {
        let message = json!({ "error": "`inputs` must be a text or a list of texts", "error_type": "Validation" });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(message)).into_response();
    };
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let fields = [
        ("x-compute-type", "demo".to_owned()),
        ("x-compute-time", "0".to_owned()),
        ("x-compute-characters", characters.to_string()),
        ("x-compute-tokens", tokens.to_string()),
        ("x-total-time", "0".to_owned()),
        ("x-tokenization-time", "0".to_owned()),
        ("x-queue-time", "0".to_owned()),
        ("x-inference-time", "0".to_owned()),
    ];
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), value));
    (axum::response::AppendHeaders(fields), Json(vectors(&texts))).into_response()
}

/// Serves feature extraction at `/models/{model}`: a vector for a text and a list for a list.
pub(super) fn features(body: &[u8]) -> Response {
    let inputs = serde_json::from_slice::<Value>(body).map(|mut body| body["inputs"].take());
    let inputs = inputs.unwrap_or_default();
    match (&inputs, texts(&inputs)) {
        (Value::String(text), _) => {
            Json(json!(unit_vector(text.as_bytes(), DIMENSIONS))).into_response()
        }
        (_, Some(texts)) => Json(vectors(&texts)).into_response(),
        (_, None) => error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the only JSON task of the demo upstream is feature extraction: `inputs` must be a text or \
             a list of texts",
        ),
    }
}

fn vectors(texts: &[String]) -> Value {
    texts.iter().map(|text| json!(unit_vector(text.as_bytes(), DIMENSIONS))).collect()
}

/// Returns the texts of one text or a list.
fn texts(inputs: &Value) -> Option<Vec<String>> {
    match inputs {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

/// Returns OpenAI's inputs as texts. They may also be tokens or lists of tokens.
fn openai_inputs(input: &Value) -> Option<Vec<String>> {
    let tokens = |list: &Vec<Value>| -> Option<String> {
        let numbers: Option<Vec<String>> =
            list.iter().map(|token| token.as_u64().map(|token| token.to_string())).collect();
        numbers.filter(|numbers| !numbers.is_empty()).map(|numbers| numbers.join(" "))
    };
    texts(input).or_else(|| {
        let list = input.as_array().filter(|list| !list.is_empty())?;
        tokens(list).map(|one| vec![one]).or_else(|| {
            list.iter().map(|inner| tokens(inner.as_array()?)).collect::<Option<Vec<String>>>()
        })
    })
}

/// Returns a unit vector from a generator (SplitMix64) that is seeded with the text's hash (FNV-1a).
fn unit_vector(text: &[u8], dimensions: usize) -> Vec<f32> {
    let mut state = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        // An f32 has 24 bits of precision. The half step keeps each number from being zero.
        ((x >> 40) as f32 + 0.5) / 8_388_608.0 - 1.0
    };
    let drawn: Vec<f32> = (0..dimensions).map(|_| draw()).collect();
    let length = drawn.iter().map(|x| x * x).sum::<f32>().sqrt();
    drawn.iter().map(|x| x / length).collect()
}
