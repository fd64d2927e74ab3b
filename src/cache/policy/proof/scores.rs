use super::{
    value::{all, has, is_filled, is_number, is_text},
    vectors::{has_embedding, is_embedding},
};
use crate::payload::{Kind, Node};

/// Returns whether a document holds a ranking: of TEI, or of Cohere, Jina, vLLM and Voyage.
pub(super) fn scores(root: Node<'_>) -> bool {
    fn is_rank(rank: Node<'_>) -> bool {
        ["relevance_score", "score"].iter().any(|name| has(rank, name, is_number))
    }
    let named = || root.get("results").or_else(|| root.get("data"));
    match root.kind() {
        Kind::Array => all(root, is_rank),
        _ => named().is_some_and(|ranks| all(ranks, is_rank)),
    }
}

/// Returns whether a document holds classes, scores or pooled vectors.
pub(super) fn classes(root: Node<'_>) -> bool {
    fn are_classes(classes: Node<'_>) -> bool {
        all(classes, is_class)
    }
    fn is_label(label: Node<'_>) -> bool {
        is_class(label) || are_classes(label)
    }
    let named = ["data", "results", "classifications"].iter().find_map(|name| root.get(name));
    match root.kind() {
        Kind::Array => all(root, is_label),
        _ => is_class(root) || named.is_some_and(are_classes),
    }
}

/// Returns whether a document holds the flags of a moderation.
pub(super) fn flags(root: Node<'_>) -> bool {
    has(root, "results", |results| {
        all(results, |result| {
            has(result, "flagged", |flag| flag.kind() == Kind::Bool)
                || has(result, "categories", is_filled)
        })
    })
}

/// Returns whether an object holds the result of a task that reads: a score, or what stands for it.
pub(super) fn is_class(one: Node<'_>) -> bool {
    let numbers = |name| has(one, name, |numbers| all(numbers, is_number));
    has(one, "score", is_number)
        || has(one, "confidence", is_number)
        || numbers("probs")
        || numbers("scores")
        // A segment of an image.
        || has(one, "label", is_text) && has(one, "mask", is_text)
        // An answer from a table.
        || has(one, "answer", is_text) && has(one, "cells", is_filled)
        || has(one, "data", is_embedding)
        || has_embedding(one)
}
