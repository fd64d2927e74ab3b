use super::value::{all, has, is_number};
use crate::payload::{Kind, Node};

/// Returns the number of texts whose embeddings a document holds. Returns `None` if one is missing.
///
/// TEI, llama.cpp and Hugging Face's tasks send arrays. OpenAI has `data`, and Cohere and Ollama have
/// `embeddings` or `embedding`.
pub(super) fn vectors(root: Node<'_>) -> Option<u64> {
    let count = |list: Node<'_>| match list.elements().next()?.kind() {
        Kind::Number => is_vector(list).then_some(1),
        _ => all(list, is_embedding).then_some(list.len() as u64),
    };
    if root.kind() == Kind::Array {
        return count(root);
    }
    if let Some(data) = root.get("data") {
        return all(data, has_embedding).then_some(data.len() as u64);
    }
    if let Some(embedding) = root.get("embedding") {
        return is_embedding(embedding).then_some(1);
    }
    let embeddings = root.get("embeddings")?;
    match embeddings.kind() {
        Kind::Array => count(embeddings),
        // A list for each type.
        _ => embeddings
            .members()
            .map(|(_, list)| all(list, is_embedding).then_some(list.len() as u64))
            .min()?,
    }
}

/// Returns whether an item has an embedding or, of several vectors, embeddings.
pub(super) fn has_embedding(item: Node<'_>) -> bool {
    has(item, "embedding", is_embedding) || has(item, "embeddings", is_embedding)
}

/// Returns whether a value is a vector: as an array, in base64 or by types.
pub(super) fn is_embedding(value: Node<'_>) -> bool {
    match value.kind() {
        Kind::Array => is_vector(value),
        Kind::String => is_base64(&value.as_str().unwrap_or_default()),
        Kind::Object if has_embedding(value) => true,
        Kind::Object => {
            !value.is_empty() && value.members().all(|(_, vector)| is_embedding(vector))
        }
        _ => false,
    }
}

/// Returns whether a value is an array of numbers, of such arrays or of the places of a sparse vector.
fn is_vector(value: Node<'_>) -> bool {
    let is_place = |place| has(place, "index", is_number) && has(place, "value", is_number);
    value.kind() == Kind::Array
        && !value.is_empty()
        && value.elements().all(|one| is_number(one) || is_vector(one) || is_place(one))
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    // One number of 32 bits or more.
    text.len() >= 8 && text.len().is_multiple_of(4) && body.bytes().all(known)
}
