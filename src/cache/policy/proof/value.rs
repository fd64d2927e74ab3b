//! The content of values.

use crate::payload::{Kind, Node};

/// Returns the text of a string that is not empty.
pub(super) fn is_text(value: Node<'_>) -> bool {
    value.kind() == Kind::String && value.raw() != b"\"\""
}

pub(super) fn is_number(value: Node<'_>) -> bool {
    value.kind() == Kind::Number
}

/// Returns whether a value is a string, an array or an object with something in it.
pub(super) fn is_filled(value: Node<'_>) -> bool {
    match value.kind() {
        Kind::String => is_text(value),
        Kind::Array | Kind::Object => !value.is_empty(),
        _ => false,
    }
}

/// Returns whether an object has a member of which `is` holds.
pub(super) fn has(object: Node<'_>, name: &str, is: fn(Node<'_>) -> bool) -> bool {
    object.get(name).is_some_and(is)
}

/// Returns whether a value is an array with elements, and `is` holds of all.
pub(super) fn all(array: Node<'_>, is: fn(Node<'_>) -> bool) -> bool {
    array.kind() == Kind::Array && !array.is_empty() && array.elements().all(is)
}

/// Returns whether an object explains a failure in words.
pub(super) fn explains(object: Node<'_>) -> bool {
    ["message", "msg", "detail", "reason"].iter().any(|name| has(object, name, is_text))
}
